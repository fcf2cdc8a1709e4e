"""`harness target`: AlexNet's own level on a data set, the lowest final accuracy of its calibration runs."""

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.record.files import cannot_write, write_atomic
from harness.record.folders.folder import Run, read_runs
from harness.record.protocol import CONFIRM
from harness.record.target import METRICS

if TYPE_CHECKING:
    from harness.analyse.evidence.target import Calibration

CONF = Path("conf/target")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUNS", help="folders with calibration runs; other runs tell the fitness"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="target file (default: conf/target/<dataset>.yaml)")
    parser.add_argument(
        "--metric", choices=(*METRICS, "both"), default="top1", help="which accuracy, or both in one run (default top1)"
    )
    parser.add_argument(
        "--margin",
        type=_points,
        default=0.0,
        metavar="POINTS",
        help="set the level so many points lower: a curve passes it before its end, where a second look confirms it",
    )


def main(args: argparse.Namespace) -> int:
    """Write the target file and say where it came from; return 0. Raises BadInput where no level can be had."""
    # Not at the top: see aggregate.py.
    from harness.analyse.evidence.target import calibrate, calibration_runs, target_yaml

    records = [run for root in args.runs for run in read_runs(root)]
    runs = calibration_runs(records)
    metrics = METRICS if args.metric == "both" else (args.metric,)
    calibrations = [calibrate(runs, metric, args.margin) for metric in metrics]
    content = target_yaml(calibrations, [f"{c.metric}: {fitness_words(c, records)}" for c in calibrations])
    out = args.out or CONF / f"{runs[0].summary['dataset']['name']}.yaml"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    write_atomic(out, content)
    print(content.rstrip())
    print(f"wrote {out}")
    if note := advice(calibrations[0]):
        print(f"note: {note}", file=sys.stderr)
    return 0


def _points(text: str) -> float:
    try:
        points = float(text)
    except ValueError:
        points = math.nan
    if not 0 <= points < 100:
        raise argparse.ArgumentTypeError(f"{text}: it must be points of accuracy, from 0 to below 100, such as 0.5")
    return points


def fitness_words(c: "Calibration", records: list[Run]) -> str:
    """How far the level is fit to measure costs at, by the measured runs of other networks on the same data."""
    from harness.analyse.evidence.fitness import LevelSpread, fitness
    from harness.analyse.evidence.ladder import entries_of
    from harness.analyse.evidence.runs.run import run_of_record

    if c.sd is None:
        return "fitness is not known: one run shows no spread"
    same = {run.summary["run_id"]: run for run in records if run.fingerprint == c.runs[0].fingerprint}
    entries = entries_of([run_of_record(run) for run in same.values()], CONFIRM)
    return str(fitness(entries, c.metric, c.level, LevelSpread(c.sd, len(c.runs), c.calibrated)))


def advice(c: "Calibration") -> str:
    """What a user should know of a level from these runs; empty where there is nothing to add."""
    from harness.analyse.evidence.target import ENOUGH

    n = len(c.runs)
    if not c.calibrated:
        known = (
            "nothing says how many further runs reach it" if c.margin else "about half of further runs miss this level"
        )
        note = f"these are no calibration runs, so {known}: train with calibration=true"
        return note if n % 2 or c.margin else f"{note}; with an even number of seeds none of them is the median"
    return f"{n} calibration runs: with {ENOUGH}, nine further runs of ten reach the level" if n < ENOUGH else ""
