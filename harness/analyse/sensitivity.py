"""What the headline hangs on: a nearby target, one architecture, the unit, the rule of the crossing."""

from typing import Any

from harness.analyse.cost import UNIT_WORDS
from harness.analyse.headline import median_costs, point
from harness.analyse.ladder import REFERENCE, Rung
from harness.record.target import Target

STEP = 0.005
"""Half a percentage point: the level's own uncertainty between reports of AlexNet."""


def sensitivity(rungs: list[Rung], target: Target, unit: str) -> list[dict[str, Any]]:
    """One item a change: its words, factor, halving months, and `answerable` (how many architectures still reach)."""
    base = median_costs(rungs, target.metric, target.value, unit)
    headline = point(rungs, base)
    items = [_item("as measured", headline, rungs)]
    for delta in (-STEP, STEP):
        if 0 < (value := target.value + delta) <= 1:
            changed = point(rungs, median_costs(rungs, target.metric, value, unit))
            items.append(_item(f"target {100 * delta:+.1f} points", changed, rungs))
    for other in ("paper_pflop", "spent_macs", "spent_flops"):
        if other != unit:
            changed = point(rungs, median_costs(rungs, target.metric, target.value, other))
            items.append(_item(f"in {UNIT_WORDS[other]}", changed, rungs))
    held = median_costs(rungs, target.metric, target.value, unit, in_a_row=2)
    items.append(_item("two evaluations in a row at the target", point(rungs, held), rungs))
    for name in headline["frontier"]:
        kept = [(r, c) for r, c in zip(rungs, base, strict=True) if r.model != name]
        if kept:
            changed = point([r for r, _ in kept], [c for _, c in kept])
            if name == REFERENCE:
                changed["reduction_factor"] = None  # a factor against AlexNet without AlexNet is no factor
            items.append(_item(f"without {name}", changed, [r for r, _ in kept]))
    return items


def _item(words: str, found: dict[str, Any], rungs: list[Rung]) -> dict[str, Any]:
    """A censored reference leaves the factor a lower bound; said in `note`, with the runs that stopped too early."""
    missing = len(rungs) - found["reached"]
    notes = [f"{missing} of {len(rungs)} architectures do not reach it"] if missing else []
    notes += ["too few left for a trend"] if found["reason"] else []
    notes += ["the reference is censored: at least"] if found["reference_censored"] else []
    return {
        "change": words,
        "reduction_factor": found["reduction_factor"],
        "halving_months": found["halving_months"],
        "frontier": found["frontier"],
        "note": "; ".join(notes),
    }
