"""What a sweep costs before its first step, and what it gains from two runs at a time.

`harness plan` for the published table with nothing counted yet ("cold") and again ("warm"); the composition of its
runs, three seeds of each network, and of as many of which each differs from the others in more than the seed; four
equal runs one after the other and two at a time, a thread each. Wall seconds of whole processes, the methods
interleaved. Alone on the machine, or the figures say nothing.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.paths import ROOT
from tests.bench import core

TABLE = ["+experiment=remeasure", "data=imagenet", "recipe=paper2020", "target=paper_top5"]
RUNS = 48
SWEEPS = {
    "the published table, three seeds": TABLE,
    "each other than the rest": [*TABLE, "seed=0", "recipe.lr=0.01,0.02,0.04"],
}
FOUR = ["+experiment=demo", "model=shufflenet_v2_x1_0", "target=none", "seed=0,1,2,3", "threads=1", "device=cpu"]


def run(rounds: int, epochs: int) -> dict[str, Any]:
    """Medians over `rounds`; epochs: the length of each of the four equal runs."""
    plans: dict[str, list[float]] = {"cold": [], "warm": []}
    composed: dict[str, list[tuple[float, float]]] = {name: [] for name in SWEEPS}
    four: dict[int, list[float]] = {1: [], 2: []}
    curves = set()
    for turn in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            for times in plans.values():
                times.append(planned(scratch / "counted"))
            for name, words in SWEEPS.items():
                composed[name].append(_in_a_process_of_its_own(words))
            for at_once, times in four.items():
                out = scratch / str(at_once)
                times.append(trained(out, at_once, epochs))
                curves |= {core.without_clocks(curve) for curve in out.rglob("curve.jsonl")}
        print(f"round {turn + 1} of {rounds} done", file=sys.stderr)
    rows = [(f"plan of {RUNS} runs, {state}", statistics.median(times)) for state, times in plans.items()]
    for name, both in composed.items():
        first, each = (statistics.median(times) for times in zip(*both, strict=True))
        rows += [(f"first composition, {name}", first), (f"each of {RUNS}, {name}", each)]
    serial, parallel = (statistics.median(times) for times in four.values())
    rows += [(f"four runs of {epochs} epochs, one by one", serial), ("two at a time", parallel)]
    print("\nwall seconds, medians")
    for name, seconds in rows:
        print(f"{name:<60} {seconds:>9.3f} s")
    print(f"{'two at a time / one by one':<60} {parallel / serial:>9.3f}")
    print(f"distinct curves, clocks apart: {len(curves)} of {rounds * 8}; four seeds")
    return {
        "plan_seconds": plans,
        "composition_seconds": {
            name: [{"first": first, "each": each} for first, each in both] for name, both in composed.items()
        },
        "four_runs_seconds": {"one_by_one": four[1], "two_at_a_time": four[2], "ratio": parallel / serial},
        "four_runs": [*FOUR, f"recipe.epochs={epochs}"],
        "distinct_curves": len(curves),
    }


def planned(counted: Path) -> float:
    """Wall seconds of `harness plan` for the published table; counted: its cache of bills.

    Raises RuntimeError where it did not plan all. That ImageNet is not on this machine it says, with exit code 2.
    """
    command = [sys.executable, "-m", "harness", "plan", "-m", *TABLE]
    start = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, "HARNESS_CACHE": str(counted)}, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if f"{RUNS} runs: " not in done.stdout:
        raise RuntimeError(done.stderr)
    return seconds


def composition(words: list[str]) -> tuple[float, float]:
    """Seconds to compose the first run of a process, which loads Hydra, and then for each run of the sweep."""
    from harness.measure.sweep.expand import jobs_of

    start = time.perf_counter()
    jobs_of(["model=alexnet"], multirun=False)
    first = time.perf_counter() - start
    start = time.perf_counter()
    jobs, _ = jobs_of(words, multirun=True)
    return first, (time.perf_counter() - start) / len(jobs)


def trained(out: Path, at_once: int, epochs: int) -> float:
    """Wall seconds of the four runs. Raises CalledProcessError where one fails."""
    command = [sys.executable, "-m", "harness", "train", "-m", *FOUR, f"recipe.epochs={epochs}"]
    start = time.perf_counter()
    subprocess.run([*command, f"hydra.launcher.parallel={at_once}", f"out={out}"], check=True, capture_output=True)
    return time.perf_counter() - start


def _in_a_process_of_its_own(words: list[str]) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.sweep", *words], cwd=ROOT, check=True, capture_output=True, text=True
    )
    first, each = json.loads(done.stdout)
    return first, each


if __name__ == "__main__":
    print(json.dumps(composition(sys.argv[1:])))
