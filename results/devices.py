"""`make results`: the same networks and seeds on a processor and on a GPU. Does the arithmetic to the level differ?

The records on the GPU lie apart (`AGAIN`) and stand in no trend: a seed counts once.
"""

import math
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from harness.analyse import read_runs
from harness.analyse.evidence.crossings import crossing
from harness.analyse.evidence.runs.run import Run
from harness.analyse.evidence.titles import short_title
from harness.analyse.show.table import Table
from harness.analyse.show.templates import environment
from harness.paths import ROOT
from harness.record.files import write_atomic

LADDER, AGAIN = "tiny_imagenet", "tiny_imagenet_h200"
TEMPLATES = environment(Path(__file__).parent / "templates")

Pairs = list[tuple[Run, Run]]


def main(runs: Path = ROOT / "results" / "runs", out: Path = ROOT / "results" / LADDER) -> None:
    """Write DEVICES.md; raises RecordError where a record is damaged."""
    pairs = paired(read_runs(runs / LADDER), read_runs(runs / AGAIN))
    ratio, (low, high), n = difference(pairs)
    page = TEMPLATES.get_template("devices.md.j2").render(
        here=sorted({first.hardware for first, _ in pairs}),
        there=sorted({second.hardware for _, second in pairs}),
        level=f"{100 * pairs[0][0].target.value:.1f} %",  # type: ignore[union-attr]  # protocol 2: all have one
        table=table(pairs).markdown(),
        ratio=f"{ratio:.3f}",
        interval=f"{low:.3f} to {high:.3f}",
        n=n,
        again=AGAIN,
    )
    write_atomic(out / "DEVICES.md", page)
    print(f"wrote {out / 'DEVICES.md'}")


def paired(first: list[Run], second: list[Run]) -> Pairs:
    """The runs of `second`, each beside that of `first` with its run id: equal configs and seeds have equal ids."""
    by_id = {run.run_id: run for run in first}
    return sorted(((by_id[run.run_id], run) for run in second), key=lambda pair: (pair[0].published, pair[0].seed))


def epochs(run: Run) -> float:
    """Epochs to the run's own level, confirmed; infinite for a miss."""
    assert run.target is not None
    at = crossing(run, run.target.metric, run.target.value, confirm=run.target.confirm)
    return math.inf if at is None else float(run.clock("epoch")[at.index])


def difference(pairs: Pairs) -> tuple[float, tuple[float, float], int]:
    """Mean ratio of the epochs, second over first, of the pairs that both reach; its 95 % interval (t); the pairs."""
    both = [(epochs(a), epochs(b)) for a, b in pairs if math.isfinite(epochs(a) + epochs(b))]
    logs = np.array([math.log(b / a) for a, b in both])
    half = float(stdtrit(len(logs) - 1, 0.975) * logs.std(ddof=1) / math.sqrt(len(logs)))
    mean = float(logs.mean())
    return math.exp(mean), (math.exp(mean - half), math.exp(mean + half)), len(logs)


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
