"""`make results`: the same networks and seeds on a processor and on a GPU. Does the arithmetic to the level differ?

The records on the GPU lie apart (`AGAIN`) and stand in no trend: a seed counts once.
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from harness.analyse import read_runs
from harness.analyse.evidence.crossings import crossing
from harness.analyse.evidence.runs.run import Run
from harness.analyse.evidence.titles import short_title
from harness.analyse.show.table import Table
from harness.analyse.show.templates import environment
from harness.analyse.show.words import MISSING
from harness.paths import ROOT
from harness.record.errors import BadInput
from harness.record.files import write_atomic
from harness.record.folders.folder import PROVENANCE

LADDER, AGAIN = "tiny_imagenet", "tiny_imagenet_h200"
TEMPLATES = environment(Path(__file__).parent / "templates")

Pairs = list[tuple[Run, Run]]


def main(runs: Path = ROOT / "results" / "runs", out: Path = ROOT / "results" / LADDER) -> None:
    """Write DEVICES.md; raises RecordError where a record is damaged."""
    pairs = paired(read_runs(runs / LADDER), read_runs(runs / AGAIN))
    page = TEMPLATES.get_template("devices.md.j2").render(
        here=settings(first for first, _ in pairs),
        there=settings(second for _, second in pairs),
        levels=sorted({f"{100 * first.target.value:.1f} %" for first, _ in pairs if first.target is not None}),
        looks=sorted({first.evaluations_per_epoch for first, _ in pairs}),
        table=table(pairs).markdown(),
        ratios=ratios(pairs).markdown(),
        again=AGAIN,
    )
    write_atomic(out / "DEVICES.md", page)
    print(f"wrote {out / 'DEVICES.md'}")


def paired(first: list[Run], second: list[Run]) -> Pairs:
    """The runs of `second`, each beside that of `first` with its run id: equal configs and seeds have equal ids.

    Raises BadInput for a run that has none beside it.
    """
    by_id = {run.run_id: run for run in first}
    if alone := [run.path for run in second if run.run_id not in by_id]:
        raise BadInput(f"{alone[0]}: no run of {LADDER} has its id; move it to results/runs/{LADDER}, or away")
    return sorted(((by_id[run.run_id], run) for run in second), key=lambda pair: (pair[0].published, pair[0].seed))


def settings(runs: Iterable[Run]) -> list[str]:
    """Hardware and version of torch, in words, each once."""
    found = set()
    for run in runs:
        segments = json.loads((Path(run.path) / PROVENANCE).read_bytes())["segments"]
        found |= {f"{run.hardware}, torch {segment['packages']['torch']}" for segment in segments}
    return sorted(found)


def epochs(run: Run) -> float:
    """Epochs to the run's own level, confirmed; infinite for a miss."""
    assert run.target is not None
    at = crossing(run, run.target.metric, run.target.value, confirm=run.target.confirm)
    return math.inf if at is None else float(run.clock("epoch")[at.index])


def difference(pairs: Pairs) -> tuple[float, tuple[float, float], int]:
    """Geometric mean of the epochs' ratio, second over first, where both reach; its 95 % interval (t); such pairs.

    NaN where fewer than two pairs reach.
    """
    both = [(epochs(a), epochs(b)) for a, b in pairs if math.isfinite(epochs(a) + epochs(b))]
    if len(both) < 2:
        return math.nan, (math.nan, math.nan), len(both)
    logs = np.array([math.log(b / a) for a, b in both])
    half = float(stdtrit(len(logs) - 1, 0.975) * logs.std(ddof=1) / math.sqrt(len(logs)))
    mean = float(logs.mean())
    return math.exp(mean), (math.exp(mean - half), math.exp(mean + half)), len(logs)


def ratios(pairs: Pairs) -> Table:
    """A line an architecture, and one for all."""
    by_name: dict[str, Pairs] = {}
    for pair in pairs:
        by_name.setdefault(short_title(pair[0].title), []).append(pair)
    lines = []
    for name, some in {**by_name, "all": pairs}.items():
        ratio, (low, high), n = difference(some)
        known = math.isfinite(ratio)
        told_ratio, told_interval = (f"{ratio:.3f}", f"{low:.3f} to {high:.3f}") if known else (MISSING, MISSING)
        lines.append([name, str(len(some)), str(n), told_ratio, told_interval])
    return Table.of(["architecture", "pairs", "both reach", "epochs, GPU / processor", "95 %"], lines)


def table(pairs: Pairs) -> Table:
    """A line a pair."""
    lines = [
        [
            short_title(first.title),
            str(first.seed),
            *(told(epochs(run)) for run in (first, second)),
            *(f"{100 * float(run.accuracy('top1').max()):.1f} %" for run in (first, second)),
        ]
        for first, second in pairs
    ]
    header = ["architecture", "seed", "epochs, processor", "epochs, GPU", "best look, processor", "best look, GPU"]
    return Table.of(header, lines)


def told(reached: float) -> str:
    """Epochs, or that they did not suffice."""
    return "missed" if math.isinf(reached) else f"{reached:.2f}"


if __name__ == "__main__":
    main()
