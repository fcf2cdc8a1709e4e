"""The reference's own level on a data set: the lowest final accuracy of its calibration runs, and how sure that is.

Without calibration runs (`calibration=true`) it is the median of the full schedules, protocol 1's rule, which about
half of further runs miss. A margin, where one is asked for, is taken off either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median, stdev
from typing import Any

import yaml

from harness.analyse.evidence.runs.groups import Level
from harness.analyse.evidence.runs.plans import CALIBRATION, Plan, recipe_settings, told_apart
from harness.record.errors import BadInput, RecordError
from harness.record.folders.folder import CONFIG, Run
from harness.record.target import METRICS, Target
from harness.record.words import several

MODEL = "alexnet"
SPLIT = "validation"
ENOUGH = 9
"""Calibration runs that a level should rest on: a further seed then reaches it nine times in ten."""

KEYS = ("metric", "value", "split", "source")
"""What every target file says. It may also say what of `Target` has a default."""


@dataclass(frozen=True)
class Calibration:
    """Final accuracies (fractions) of the reference under one metric, in the order of `runs`.

    margin: points of accuracy that the level lies below what the finals say.
    """

    metric: str
    runs: list[Run]
    finals: list[float]
    margin: float = 0.0

    @property
    def final(self) -> float:
        """The lowest final accuracy; of runs that are no calibration the median."""
        return min(self.finals) if self.calibrated else median(self.finals)

    @property
    def level(self) -> float:
        """The final accuracy less the margin.

        Exact, as `reached` is: 0.8 less 10 points is 0.7, not 0.7000000000000001. No split has five million images.
        """
        return float(Fraction(self.final).limit_denominator(10_000_000) - Fraction(str(self.margin)) / 100)

    @property
    def calibrated(self) -> bool:
        """Whether the runs are calibration runs, which are used for nothing else."""
        return all(map(is_calibration, self.runs))

    @property
    def reaches(self) -> float:
        """Return n / (n + 1), the probability that a further seed ends at or above the level; with a margin, at least.

        Assumes only that the seeds are exchangeable: the lowest of n + 1 values is the further one once in n + 1
        (order statistics; Wilks 1941, Annals of Mathematical Statistics 12). Ties raise it.
        """
        return len(self.finals) / (len(self.finals) + 1)

    @property
    def sd(self) -> float | None:
        """Standard deviation of the final accuracies, n - 1 in the denominator; None for a single run."""
        return stdev(self.finals) if len(self.finals) > 1 else None


def calibrate(runs: Sequence[Run], metric: str, margin: float = 0.0) -> Calibration:
    """The calibration of one metric; `runs` as `calibration_runs` returns them. Raises BadInput where no level is left.

    margin: points of accuracy to stay below the final accuracies.
    """
    finals = [run.curve[-1].correct(metric) / run.curve[-1].total for run in runs]
    calibration = Calibration(metric, list(runs), finals, margin)
    if margin and calibration.level <= 0:
        raise BadInput(
            f"a margin of {_points(calibration)} leaves no level below a final {metric} of "
            f"{100 * calibration.final:.2f} %: give a smaller --margin"
        )
    Target(metric, calibration.level, SPLIT, 1, "calibration")  # refuses a level of 0
    return calibration


def calibration_runs(runs: Sequence[Run]) -> list[Run]:
    """The reference's full runs among `runs`, by seed: those marked as calibration, or where none is, all of them.

    Raises BadInput where there is none, or where they differ in data or plan, or where a seed occurs twice, or one run
    alone calibrates.
    """
    own = {run.summary["run_id"]: run for run in runs if run.model == MODEL}
    usable = [r for r in own.values() if r.target is None and r.outcome == "budget_exhausted" and r.curve]
    usable = [r for r in usable if is_calibration(r)] or usable
    if len(usable) == 1 and is_calibration(usable[0]):
        raise BadInput("one calibration run sets no level: train it with more seeds, as in seed=100,101,102")
    if not usable:
        raise BadInput(
            f"no full schedule of {MODEL} among {len(own)} {MODEL} runs: "
            f"make one with `harness train model={MODEL} target=none calibration=true`"
        )
    if len({r.fingerprint for r in usable}) > 1:
        names = sorted({f"{r.summary['dataset']['name']} {r.fingerprint[:12]}" for r in usable})
        raise BadInput(f"the runs are on different data ({', '.join(names)}): give the folders of one data set")
    plans = sorted(
        {Plan.of(r.summary, recipe_settings((r.path / CONFIG).read_text(encoding="utf-8"))) for r in usable}, key=repr
    )
    if len(plans) > 1:
        words = "; ".join(f"{p}, {apart}".removesuffix(", ") for p, apart in zip(plans, told_apart(plans), strict=True))
        raise BadInput(f"the runs follow {len(plans)} plans ({words}): give the folders of one plan")
    seeds = [r.seed for r in usable]
    if len(set(seeds)) < len(seeds):
        raise BadInput(f"a seed occurs twice among {sorted(seeds)}: give the folders of one set of seeds")
    return sorted(usable, key=lambda r: (r.seed, r.summary["run_id"]))


def is_calibration(run: Run) -> bool:
    """True for a run that is marked as setting a level: it never gives a cost."""
    return bool(run.summary["kind"] == CALIBRATION)


def target_yaml(calibrations: Sequence[Calibration], remarks: Sequence[str] = ()) -> str:
    """The target file: the first calibration's level, the others under `also`, where they come from in comments.

    remarks: further lines of comment, such as the fitness.
    """
    first = calibrations[0]
    s = first.runs[0].summary
    subset = ", a subset" if s["dataset"]["subset"] else ""
    lines = [
        f"# Written by `harness target`: {MODEL}'s own level on {s['dataset']['name']}{subset}, n = {len(first.runs)}.",
        f"# Data fingerprint {s['dataset']['fingerprint']}.",
    ]
    for c in calibrations:
        lines += [f"# {words(c)}"]
        for r, f in zip(c.runs, c.finals, strict=True):
            last = r.curve[-1]
            lines += [f"#   seed {r.seed}: {last.correct(c.metric)}/{last.total} = {f:.6f}, run {r.summary['run_id']}"]
    lines += [f"# {remark}" for remark in remarks]
    plan = f"recipe {s['recipe']}, {s['planned_epochs']} epochs"
    n = len(first.runs)
    rule = f"lowest of {n} calibration runs" if first.calibrated else f"median over {several(n, 'seed')}"
    less = f" less a margin of {_points(first)}" if first.margin else ""
    source = f"{rule} of {MODEL}'s final {first.metric}{less}, {plan}: " + ", ".join(
        f"{r.summary['run_id']}={f:.6f}" for r, f in zip(first.runs, first.finals, strict=True)
    )
    lines += [
        f"metric: {first.metric} # top1 or top5",
        f"value: {first.level!r} # a fraction",
        f"split: {SPLIT} # the evaluated split",
        f'source: "{source}" # where the value comes from',
    ]
    if also := calibrations[1:]:
        levels = {c.metric: c.level for c in also}
        lines += ["also: # further levels watched in the same run"]
        lines += [f"  {metric}: {levels[metric]!r}" if metric in levels else f"  {metric}: null" for metric in METRICS]
    return "\n".join(lines) + "\n"


def words(c: Calibration) -> str:
    """One line: the level, what share of further seeds reach it, and the spread of the final accuracies."""
    spread = "one run shows no spread" if c.sd is None else f"standard deviation {100 * c.sd:.2f} points"
    finals = f"finals {100 * min(c.finals):.2f} to {100 * max(c.finals):.2f} %, {spread}"
    level = f"{c.metric}: {100 * c.level:.2f} %, {f'{_points(c)} below ' if c.margin else ''}"
    if not c.calibrated:
        return f"{level}the median of {len(c.finals)}; {finals}"
    return (
        f"{level}the lowest of {len(c.finals)}; a further seed ends at or above it with "
        f"probability {'at least ' if c.margin else ''}{len(c.finals)}/{len(c.finals) + 1} = {c.reaches:.2f}; "
        f"{finals}"
    )


def _points(c: Calibration) -> str:
    return f"{c.margin:g} {'point' if c.margin == 1 else 'points'}"


def read_target(path: Path) -> Level:
    """The level of a target file, its rule of the crossing and the further levels; raises BadInput in one line.

    How far runs go on past it is the training's business.
    """
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; give a file like conf/target/<dataset>.yaml") from error
    except yaml.YAMLError as error:
        raise RecordError(f"{path}: not YAML ({str(error).splitlines()[0]})") from error
    optional = {"also", "confirm", "past_evaluations"}
    if not isinstance(data, dict) or not set(KEYS) <= set(data) <= set(KEYS) | optional:
        raise BadInput(f"{path}: not a target file, it needs {', '.join(KEYS)} and nothing unknown")
    also = data.get("also") or {}
    if not isinstance(also, dict):
        raise BadInput(f"{path}: also is {also!r}: name a level for each metric, as in top5: 0.791")
    levels = tuple(sorted((metric, value) for metric, value in also.items() if value is not None))
    level = Level(**{k: data[k] for k in KEYS}, confirm=data.get("confirm"), also=levels)
    level.at(1)
    return level
