"""The analysing room's front door: what a notebook needs. Each function imports what it needs when it is called."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.analyse.evidence.cost import Cost
    from harness.analyse.evidence.runs.run import Run

__all__ = ["cost_to_target", "fit_trend", "read_runs"]


def read_runs(folder: str | Path) -> "list[Run]":
    """Every finished run below `folder`, hashes verified; raises RecordError where there is none or one is damaged."""
    from harness.analyse.evidence.runs.run import read_records

    return read_records(Path(folder)).runs


def cost_to_target(run: "Run", *, unit: str = "paper_pflop", level: tuple[str, float] | None = None) -> "Cost":
    """What a run had spent where it reached its own target, or another level, as ("top1", 0.56).

    `unit` is a key of `harness.analyse.evidence.cost.UNITS`. A run that never got there is censored: its cost is above
    `after`, which is all that it spent. Raises BadInput where no level is known or the unit is none.
    """
    from harness.analyse.evidence.cost import UNITS, cost_at
    from harness.analyse.evidence.crossings import crossing
    from harness.analyse.evidence.runs.groups import Level, looks_in_a_row
    from harness.record.errors import BadInput

    if unit not in UNITS:
        raise BadInput(f"unit {unit!r}: use one of {', '.join(UNITS)}")
    target = run.target
    if level is not None:
        target = Level(*level).at(run.evaluations_per_epoch, looks_in_a_row([run], run.protocol_version))
    if target is None:
        raise BadInput(f"{run.path}: the run has no target of its own: give one, as level=('top1', 0.56)")
    return cost_at(UNITS[unit](run), crossing(run, target.metric, target.value, confirm=target.confirm))


def fit_trend(
    runs: "Sequence[Run]", *, level: tuple[str, float] | None = None, draws: int = 10_000, seed: int = 0
) -> dict[str, Any]:
    """The analysis of runs that may be compared, as `trend.json` holds it: `rows`, `trend` and what supports them.

    Judged at the runs' own target, or at `level`, as ("top1", 0.56); `draws` and `seed` are of the seeds drawn
    again. Raises BadInput where the runs belong to more than one data set, target or protocol: they are never mixed.
    """
    from harness.analyse.evidence.runs.groups import Level, group_runs
    from harness.analyse.trend.document import Settings, group_document
    from harness.record.errors import BadInput

    groups = group_runs(list(runs), None if level is None else Level(*level))
    if len(groups) != 1:
        named = "; ".join(f"{g.dataset.name} at {g.target.metric} {g.target.value:.2%} ({g.key})" for g in groups)
        raise BadInput(f"the runs make {len(groups)} groups that are not compared ({named}): give the runs of one")
    return group_document(groups[0], Settings(draws=draws, seed=seed))
