"""`harness target`: AlexNet's own level on a data set, the median over seeds of its full schedule's final accuracy."""

import argparse
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from harness.record.errors import BadInput, RecordError
from harness.record.files import cannot_write, write_atomic
from harness.record.target import METRICS, Target

if TYPE_CHECKING:
    from harness.analyse.evidence.groups import Level
    from harness.record.folder import Run

MODEL = "alexnet"
SPLIT = "validation"
CONF = Path("conf/target")


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
    if len(runs) % 2 == 0:
        print("note: with an odd number of seeds the median is one of them, and reaches its own level", file=sys.stderr)
    return 0


def full_runs(roots: list[Path]) -> "list[Run]":
    """AlexNet's finished full-schedule runs below the folders, by seed; raises BadInput where they do not agree."""
    from harness.analyse.evidence.plans import Plan, recipe_settings, told_apart
    from harness.record.folder import CONFIG, read_runs

    found = {run.summary["run_id"]: run for root in roots for run in read_runs(root) if run.model == MODEL}
    usable = [r for r in found.values() if r.target is None and r.outcome == "budget_exhausted" and r.curve]
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
    """The target file: one median, and the list it came from in comments and in `source`."""
    finals = [run.curve[-1].correct(metric) / run.curve[-1].total for run in runs]
    value = median(finals)
    s = runs[0].summary
    subset = ", a subset" if s["dataset"]["subset"] else ""
    listed = "\n".join(
        f"#   seed {r.seed}: {r.curve[-1].correct(metric)}/{r.curve[-1].total} = {f:.6f}, run {r.summary['run_id']}"
        for r, f in zip(runs, finals, strict=True)
    )
    plan = f"recipe {s['recipe']}, {s['planned_epochs']} epochs"
    source = f"median over {len(runs)} seed(s) of {MODEL}'s final {metric}, {plan}: " + ", ".join(
        f"{r.summary['run_id']}={f:.6f}" for r, f in zip(runs, finals, strict=True)
    )
    Target(metric, value, SPLIT, 1, source)  # refuses a level of 0 or above 1
    return (
        f"# Written by `harness target`: {MODEL}'s own level on {s['dataset']['name']}{subset}, n = {len(runs)}.\n"
        f"# Data fingerprint {s['dataset']['fingerprint']}.\n{listed}\n"
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
