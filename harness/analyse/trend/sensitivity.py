"""What the headline hangs on: a nearby target, one architecture, the unit, the rule of the crossing."""

from typing import Any

import numpy as np

from harness.analyse.evidence.cost import UNIT_WORDS, Cost
from harness.analyse.evidence.fitness import LevelSpread
from harness.analyse.evidence.ladder import REFERENCE, Entry, reference_of
from harness.analyse.evidence.titles import short_title
from harness.analyse.trend.headline import expected_costs, point
from harness.analyse.trend.line import fit, months
from harness.analyse.trend.rows import finite
from harness.record.target import Target

STEP = 0.005
"""Half a percentage point: what reports of AlexNet differ by. For a level whose own spread nothing tells."""


def sensitivity(entries: list[Entry], target: Target, unit: str, spread: LevelSpread | None) -> list[dict[str, Any]]:
    """One item a change: its words, factor, halving months, and `note`.

    spread: of the reference's finals. The level moves by its standard deviation; by `STEP` where nothing tells it.
    """
    base = expected_costs(entries, target.metric, target.value, unit)
    headline = point(entries, base)
    items = [_item("as measured", headline, entries)]
    step, why = (STEP, "") if spread is None else (spread.sd, f", one standard deviation of {spread}")
    for delta in (-step, step):
        if 0 < (value := target.value + delta) <= 1:
            changed = point(entries, expected_costs(entries, target.metric, value, unit))
            note = _unanswered(entries, target.metric, value, unit)
            items.append(_item(f"level {100 * delta:+.1f} points{why}", changed, entries, note))
    for other in ("paper_pflop", "spent_macs"):
        if other != unit:
            changed = point(entries, expected_costs(entries, target.metric, target.value, other))
            items.append(_item(f"in {UNIT_WORDS[other]}", changed, entries))
    for confirm, words in ((1, "the first evaluation at the level"), (2, "two evaluations in a row at the level")):
        if confirm != target.confirm:
            judged = expected_costs(entries, target.metric, target.value, unit, confirm=confirm)
            note = _unanswered(entries, target.metric, target.value, unit, confirm=confirm)
            items.append(_item(words, point(entries, judged), entries, note))
    items.append(_all_architectures(entries, base))
    for name in headline["frontier"]:
        (title,) = (short_title(r.runs[0].title) for r in entries if r.model == name)
        kept = [(r, c) for r, c in zip(entries, base, strict=True) if r.model != name]
        if kept:
            changed = point([r for r, _ in kept], [c for _, c in kept])
            if name == REFERENCE:
                changed["reduction_factor"] = None  # a factor against AlexNet without AlexNet is no factor
            items.append(_item(f"without {title}", changed, [r for r, _ in kept]))
    return items


def _all_architectures(entries: list[Entry], costs: list[Cost]) -> dict[str, Any]:
    """Least squares over every architecture that reached, in place of the cheapest so far; it has no factor.

    It says how the typical network went, not the best. Assumes that all lie about one line, as no frontier has to.
    """
    reached = [(months(r.published), c.at) for r, c in zip(entries, costs, strict=True) if not c.censored]
    line = fit([x for x, _ in reached], [cost for _, cost in reached])
    missing = len(entries) - len(reached)
    notes = [f"not reached, and left out: {missing} of {len(entries)} architectures"] if missing else []
    notes += ["too few left for a trend"] if line is None else []
    known = line is not None and line.halving_low is not None
    return {
        "change": "all architectures, not only the cheapest so far",
        "reduction_factor": None,
        "halving_months": None if line is None else finite(line.halving_months),
        "halving_interval_ols": [finite(line.halving_low), finite(line.halving_high)] if line and known else None,
        "frontier": [],
        "at_least": False,
        "note": "; ".join(notes),
    }


def _unanswered(entries: list[Entry], metric: str, value: float, unit: str, *, confirm: int | None = None) -> str:
    """Why a question has no figure: runs that ended at their own target before it was answered did not miss it.

    Empty where every run answers it.
    """
    missed = {r.model: r.costs(metric, value, unit, confirm=confirm).censored for r in entries}
    stopped = {r.model: missed[r.model] & np.array([t.ended_early for t in r.runs]) for r in entries}
    if not any(s.any() for s in stopped.values()):
        return ""
    number, runs = sum(int(s.sum()) for s in stopped.values()), sum(len(r.runs) for r in entries)
    words = f"not measured: {number} of {runs} runs ended before this was answered"
    reference = reference_of(entries)
    own = missed[reference.model] & ~stopped[reference.model]
    if own.any():
        title = short_title(reference.runs[0].title)
        words += f"; {title} itself misses it in {int(own.sum())} of its {len(own)} runs"
    return words


def _item(words: str, numbers: dict[str, Any], entries: list[Entry], unanswered: str = "") -> dict[str, Any]:
    """One line. Where runs stopped before the question was answered there is no figure, only the note that says so."""
    if unanswered:
        return {
            "change": words,
            "reduction_factor": None,
            "halving_months": None,
            "halving_interval_ols": None,
            "frontier": [],
            "at_least": False,
            "note": unanswered,
        }
    missing = len(entries) - numbers["reached"]
    notes = [f"not reached: {missing} of {len(entries)} architectures"] if missing else []
    notes += ["too few left for a trend"] if numbers["reason"] else []
    return {
        "change": words,
        "reduction_factor": numbers["reduction_factor"],
        "halving_months": numbers["halving_months"],
        "halving_interval_ols": numbers["halving_interval_ols"],
        "frontier": numbers["frontier"],
        "at_least": numbers["reference_censored"],
        "note": "; ".join(notes),
    }
