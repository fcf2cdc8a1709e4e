"""From groups of runs to one plain document: rows, trend, intervals. Everything printed or drawn is read off it."""

from dataclasses import dataclass
from typing import Any

from harness.analyse.evidence.fitness import judged, spread_of
from harness.analyse.evidence.ladder import REFERENCE, ladder, reference_of
from harness.analyse.evidence.runs.groups import Group
from harness.analyse.evidence.runs.plans import PLANS
from harness.analyse.evidence.titles import short_title
from harness.analyse.trend.axes import hardware_axis, learning_curves, searches
from harness.analyse.trend.draws import DRAWS
from harness.analyse.trend.headline import draw_all, expected_costs, with_intervals
from harness.analyse.trend.readings import by_study_rule, with_bounds
from harness.analyse.trend.rows import row_of
from harness.analyse.trend.sensitivity import sensitivity
from harness.analyse.trend.thresholds import thresholds

THRESHOLD_DRAWS = 1_000
"""Draws at each of up to 200 levels: enough for a band in a figure, and a tenth of the headline's."""


@dataclass(frozen=True)
class Settings:
    """What the user chose. unit: a key of `harness.analyse.evidence.cost.UNITS`; seed: of the draws."""

    unit: str = "paper_pflop"
    draws: int = DRAWS
    seed: int = 0
    recipe: str | None = None
    plans: str = PLANS[0]


def group_document(group: Group, settings: Settings) -> dict[str, Any]:
    """The whole analysis of one group as plain data, ready for JSON (no NaN, no infinity: those are null)."""
    entries, beside, notes = ladder(group, settings.recipe, settings.unit if settings.plans == "cheapest" else None)
    document: dict[str, Any] = {
        "key": group.key,
        "dataset": {name: getattr(group.dataset, name) for name in group.dataset.__slots__},
        "target": group.target.as_dict(),
        "protocol_version": group.protocol_version,
        "unit": settings.unit,
        "runs": len(group.measured),
        "architectures": len(entries),
        "notes": group.notes + notes,
        "rows": [],
        "searches": searches(group.searched, group.target),
    }
    if not entries:
        document["notes"].append("no run of the fixed-plan protocol: nothing to fit")
        return document | {"trend": None}
    reference = reference_of(entries)
    if reference.model != REFERENCE:
        document["notes"].append(
            f"no AlexNet among the runs: factors are against {short_title(reference.runs[0].title)}, the earliest"
        )
    target, unit = group.target, settings.unit
    drawn = draw_all(entries, target, unit, settings.draws, settings.seed, beside)
    ref_draws = drawn.values[:, entries.index(reference)]
    for column, entry in enumerate([*entries, *beside]):
        document["rows"].append(
            row_of(
                entry,
                target,
                unit,
                reference=reference,
                draws=drawn.values[:, column],
                ref_draws=ref_draws,
                spread=drawn.spread,
                in_trend=column < len(entries),
            )
        )
    document["reference"] = reference.model
    document["notes"] += _about_reference(document["rows"], reference.model)
    level_spread = spread_of(group)
    trend = with_intervals(entries, target, unit, drawn)
    document["trend"] = trend | {
        "study_rule": by_study_rule(entries, target, unit),
        "bounds": with_bounds(entries, expected_costs(entries, target.metric, target.value, unit), trend),
        "fitness": judged(entries, target, level_spread),
        "draws": settings.draws,
        "seed": settings.seed,
    }
    for row in document["rows"]:
        row["on_frontier"] = row["in_trend"] and row["model"] in document["trend"]["frontier"]
    document["sensitivity"] = sensitivity(entries, target, unit, level_spread)
    document["thresholds"] = thresholds(entries, target, unit, min(settings.draws, THRESHOLD_DRAWS), settings.seed)
    document["hardware"] = hardware_axis(entries, target)
    document["curves"] = learning_curves(entries, target)
    return document


def _about_reference(rows: list[dict[str, Any]], reference: str) -> list[str]:
    """Notes on a reference that nothing is younger, or nothing cheaper than: factors then say something else."""
    chosen = {row["model"]: row for row in rows if row["in_trend"]}
    own = chosen.pop(reference)
    name, notes = short_title(own["title"]), []
    if chosen and all(row["published"] <= own["published"] for row in chosen.values()):
        notes.append(f"{name}, the reference, is the newest architecture here: factors compare it with older ones")
    costs = [row["cost"] for row in chosen.values() if row["cost"] is not None]
    if chosen and own["cost"] is not None and all(cost >= own["cost"] for cost in costs):
        notes.append(f"{name}, the reference, is the cheapest architecture here: no factor is above 1")
    return notes
