"""What it takes to tell two costs or two halving times apart, for a terminal."""

from typing import Any

from harness.analyse.evidence.titles import named
from harness.analyse.show.findings import level_words
from harness.analyse.show.table import Table
from harness.analyse.show.words import number
from harness.analyse.trend.power import MOST, MOST_IMAGES
from harness.record.words import several


def text(plans: list[dict[str, Any]]) -> str:
    """Return all groups for a terminal, each with its tables and its assumptions in words."""
    return "\n\n".join("\n".join(_group(plan)) for plan in plans)


def _group(plan: dict[str, Any]) -> list[str]:
    costs, halving = plan["costs"], plan["halving"]
    first, second = halving["months"]
    return [
        f"{named(plan['dataset'])}: {level_words(plan['target'])}",
        f'What it takes to say "apart" with a chance of {plan["power"]:.0%} where it is so, by a two-sided test at '
        f"{plan['alpha']:.0%}",
        "",
        f"Two costs, or two factors against one reference, {number(costs['ratio'])}x apart",
        *_costs(costs),
        "",
        f"Halving times of {number(first)} and {number(second)} months",
        *_halving(halving["lines"]),
    ]


def _costs(costs: dict[str, Any]) -> list[str]:
    if costs["reason"]:
        return [f"not known: {costs['reason']}"]
    known = [row for row in costs["by_images"] if row["sd_log_cost"] is not None]
    rows = [
        [_images(row), number(row["sd_log_cost"]), _many(row["seeds"]), f"{row['power_with_seeds_now']:.0%}"]
        for row in known
    ]
    now = f"chance with {several(costs['seeds_now'], 'seed')}"
    table = Table.of(["evaluation images", "spread of ln cost", "seeds each", now], rows)
    notes = [
        f"measured: {costs['architectures']} architectures, spread {number(costs['sd_log_cost'])} over seeds from "
        f"{costs['freedom']} degrees of freedom, {costs['evaluation_images']:,} images"
    ]
    notes.append(_images_needed(costs["images"], costs["seeds_now"]))
    if costs["slope_ln_cost"] is not None:
        notes.append("images count for at most as much as this: runs share them, which the formula does not know")
    if len(known) < len(costs["by_images"]):
        notes.append("no row for more images: supposed independent, their noise is more than the whole spread")
    if not costs["spread_holds"]:
        notes.append("the spreads of architectures are not alike (Levene's test): these numbers are a middle, no more")
    return [table.terminal(), *notes]


def _halving(lines: list[dict[str, Any]]) -> list[str]:
    rows = [
        [
            line["over"],
            str(line["points"]),
            number(line["scatter_doublings"]),
            f"{line['power_now']:.0%}",
            _many(line["architectures"]),
            _many(line["architectures_endless_seeds"]),
        ]
        for line in lines
        if not line["reason"]
    ]
    header = ["line through", "points", "scatter, doublings", "chance now", "architectures", "with endless seeds"]
    shown = [Table.of(header, rows).terminal()] if rows else []
    notes = [f"not known for {line['reason']}" for line in lines if line["reason"]]
    if rows:
        known = [line for line in lines if not line["reason"]]
        spans = ", ".join(f"{number(line['span_months'])} months ({line['over']})" for line in known)
        notes.append(f"architectures evenly over the span of these: {spans}")
    return [*shown, *notes]


def _images_needed(images: dict[str, Any], seeds: int) -> str:
    """How many evaluation images it takes with as many seeds as now, or why that is not known."""
    many = f"over {MOST_IMAGES:,}" if images["count"] is None else f"{images['bound']} {images['count']:,}"
    return f"evaluation images that it takes with {seeds} seeds each: {images['reason'] or many}"


def _images(row: dict[str, Any]) -> str:
    return "endless" if row["evaluation_images"] is None else f"{row['evaluation_images']:,}"


def _many(count: int | None) -> str:
    return f"over {MOST:,}" if count is None else f"{count:,}"
