"""`harness target`: AlexNet's own level on a data set, from the final accuracy of its full schedules.

From calibration runs (`calibration=true`) the level is their lowest final accuracy. For n exchangeable seeds a further
run ends at or above it with probability n / (n + 1): no distribution is assumed. Without calibration runs it is the
median of the full schedules, protocol 1's rule, which about half of further runs miss.
"""

import argparse
import sys
from pathlib import Path
from statistics import median, stdev
from typing import TYPE_CHECKING, Any

from harness.analyse.evidence.plans import CALIBRATION
from harness.record.errors import BadInput, RecordError
from harness.record.files import cannot_write, write_atomic
from harness.record.target import METRICS, Target

if TYPE_CHECKING:
    from harness.analyse.evidence.groups import Level
    from harness.record.folder import Run

MODEL = "alexnet"
SPLIT = "validation"
CONF = Path("conf/target")
CALIBRATIONS_ASKED = 9
"""Calibration runs that make a level one which nine further runs of ten reach."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUNS", help="folders with AlexNet's full runs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="target file (default: conf/target/<dataset>.yaml)")
    parser.add_argument("--metric", choices=METRICS, default="top1", help="which accuracy (default top1)")


def main(args: argparse.Namespace) -> int:
    """Write the target file and say where it came from; exit code 0."""
    runs = full_runs(args.runs)
    dataset = str(runs[0].summary["dataset"]["name"])
    out = args.out or CONF / f"{dataset}.yaml"
    content = target_yaml(runs, args.metric)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    write_atomic(out, content)
    print(content.rstrip())
    print(f"wrote {out}")
    if note := advice(runs):
        print(f"note: {note}", file=sys.stderr)
    return 0


def advice(runs: "list[Run]") -> str:
    """What a user should know of a level from these runs; empty where there is nothing to add."""
    if not is_calibrated(runs):
        note = (
            "these are no calibration runs, so about half of further runs miss this level: train with calibration=true"
        )
        return note if len(runs) % 2 else f"{note}; with an even number of seeds none of them is the median"
    if len(runs) < CALIBRATIONS_ASKED:
        return f"{len(runs)} calibration runs: with {CALIBRATIONS_ASKED}, nine further runs of ten reach the level"
    return ""


def is_calibrated(runs: "list[Run]") -> bool:
    """Whether these are calibration runs, which are used for nothing else."""
    return all(run.summary["kind"] == CALIBRATION for run in runs)


def full_runs(roots: list[Path]) -> "list[Run]":
    """AlexNet's finished full-schedule runs below the folders, by seed: the calibration runs where there are any.

    Raises BadInput where there are none, or where they do not agree on data, plan or seeds, or a single one calibrates.
    """
    from harness.analyse.evidence.plans import Plan, recipe_settings, told_apart
    from harness.record.folder import CONFIG, read_runs

    found = {run.summary["run_id"]: run for root in roots for run in read_runs(root) if run.model == MODEL}
    usable = [r for r in found.values() if r.target is None and r.outcome == "budget_exhausted" and r.curve]
    usable = [r for r in usable if r.summary["kind"] == CALIBRATION] or usable
    if len(usable) == 1 and is_calibrated(usable):
        raise BadInput("one calibration run sets no level: train it with more seeds, as in seed=100,101,102")
    if not usable:
        raise BadInput(
            f"no full schedule of {MODEL} among {len(found)} {MODEL} runs: "
            f"make one with `harness train model={MODEL} target=none`"
        )
    if len({r.fingerprint for r in usable}) > 1:
        names = sorted({f"{r.summary['dataset']['name']} {r.fingerprint[:12]}" for r in usable})
        raise BadInput(f"the runs are on different data ({', '.join(names)}): give the folders of one data set")
    plans = sorted({Plan.of(r.summary, recipe_settings((r.path / CONFIG).read_text())) for r in usable}, key=repr)
    if len(plans) > 1:
        words = "; ".join(f"{p}, {apart}".removesuffix(", ") for p, apart in zip(plans, told_apart(plans), strict=True))
        raise BadInput(f"the runs follow {len(plans)} plans ({words}): give the folders of one plan")
    seeds = [r.seed for r in usable]
    if len(set(seeds)) < len(seeds):
        raise BadInput(f"a seed occurs twice among {sorted(seeds)}: give the folders of one set of seeds")
    return sorted(usable, key=lambda r: (r.seed, r.summary["run_id"]))


def target_yaml(runs: "list[Run]", metric: str) -> str:
    """The target file: one level, and the list it came from in comments and in `source`."""
    finals = [run.curve[-1].correct(metric) / run.curve[-1].total for run in runs]
    n, calibrated = len(runs), is_calibrated(runs)
    value = min(finals) if calibrated else median(finals)
    rule = f"lowest of {n} calibration runs" if calibrated else f"median over {n} seed(s)"
    meaning = (
        f"# A further run of this plan ends at or above the level with probability {n}/{n + 1}. Its runs ended at\n"
        f"# {min(finals):.4f} to {max(finals):.4f}, standard deviation {stdev(finals):.4f}.\n"
        if calibrated
        else ""
    )
    s = runs[0].summary
    subset = ", a subset" if s["dataset"]["subset"] else ""
    listed = "\n".join(
        f"#   seed {r.seed}: {r.curve[-1].correct(metric)}/{r.curve[-1].total} = {f:.6f}, run {r.summary['run_id']}"
        for r, f in zip(runs, finals, strict=True)
    )
    plan = f"recipe {s['recipe']}, {s['planned_epochs']} epochs"
    source = f"{rule} of {MODEL}'s final {metric}, {plan}: " + ", ".join(
        f"{r.summary['run_id']}={f:.6f}" for r, f in zip(runs, finals, strict=True)
    )
    Target(metric, value, SPLIT, 1, source)  # refuses a level of 0 or above 1
    return (
        f"# Written by `harness target`: {MODEL}'s own level on {s['dataset']['name']}{subset}, n = {len(runs)}.\n"
        f"# Data fingerprint {s['dataset']['fingerprint']}.\n{meaning}{listed}\n"
        f"metric: {metric} # top1 or top5\n"
        f"value: {value!r} # a fraction\n"
        f"split: {SPLIT} # the evaluated split\n"
        f'source: "{source}" # where the value comes from\n'
    )


def read_target(path: Path) -> "Level":
    """The level of a target file; raises BadInput in one line."""
    import yaml

    from harness.analyse.evidence.groups import Level

    try:
        data: Any = yaml.safe_load(path.read_text())
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; give a file like conf/target/<dataset>.yaml") from error
    except yaml.YAMLError as error:
        raise RecordError(f"{path}: not YAML ({str(error).splitlines()[0]})") from error
    keys = ("metric", "value", "split", "source")
    if not isinstance(data, dict) or sorted(data) != sorted(keys):
        raise BadInput(f"{path}: not a target file, it needs exactly {', '.join(keys)}")
    level = Level(**{k: data[k] for k in keys})
    level.at(1)
    return level
