"""(d) What W&B costs a run when it does not work: the same run without it, and with servers that fail.

Wall seconds of whole processes, start to exit, the methods interleaved. The runs must also give the same curve.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from harness.paths import ROOT
from tests.bench import core
from tests.measure.mirror.test_tracking import refusing_server, silent_server
from tests.measure.mirror.tracked import KEY, environment, until_its_mirror_ends

RUN = ["data=digits", "model=shufflenet_v2_x1_0", "recipe.epochs=6", "target=none", "device=cpu", "threads=1"]
SERVERS: dict[str, Any] = {
    "tracking=none": nullcontext,
    "server answers 500": refusing_server,
    "server never answers": silent_server,
}


def run(rounds: int) -> dict[str, Any]:
    """One table: median wall seconds of each method and their ratio to the run without tracking."""
    seconds: dict[str, list[float]] = {name: [] for name in SERVERS}
    curves = set()
    for turn in range(rounds):
        for name, server in SERVERS.items():
            with tempfile.TemporaryDirectory() as folder, server() as url:
                seconds[name].append(_timed(Path(folder), url))
                (curve,) = Path(folder).rglob("curve.jsonl")
                if url is not None:  # it must not disturb the next run
                    until_its_mirror_ends(Path(folder), curve.parent.name)
                curves.add(core.without_clocks(curve))
        print(f"round {turn + 1} of {rounds} done", file=sys.stderr)
    base = statistics.median(seconds["tracking=none"])
    print(f"\nwhole runs, wall seconds ({' '.join(RUN)})")
    found = []
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(f"{name:22} {middle:8.1f} s  {middle / base:6.3f}   {min(times):.1f} to {max(times):.1f}")
        found.append({"name": name, "median": middle, "ratio": middle / base, "rounds": times})
    print(f"distinct curves, clocks apart: {len(curves)}")
    return {"whole_runs_wall_seconds": found, "run": RUN, "distinct_curves": len(curves)}


def _timed(folder: Path, url: str | None) -> float:
    extra = {} if url is None else {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": url}
    watched = ["tracking=wandb", f"tracking.dir={folder}", "tracking.init_timeout_seconds=5"]
    words = ["tracking=none"] if url is None else watched
    command = [sys.executable, "-m", "harness", "train", *RUN, *words, f"out={folder / 'runs'}"]
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment(folder, **extra), check=True, capture_output=True)
    return time.perf_counter() - start
