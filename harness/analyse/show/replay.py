"""The published study (Hernandez & Brown 2020) rebuilt from its constants, and how fragile it is."""

import math
from typing import Any

from harness.analyse.evidence.published import claims, frontier_points, table
from harness.analyse.show.table import Table
from harness.analyse.show.words import interval, number
from harness.analyse.trend.line import fit, frontier, months, moore_factor
from harness.record.units import paper_pflop, paper_tfs_days


def replay() -> dict[str, Any]:
    """Return the study as plain data: rows, the headline and every item of its fragility, computed.

    Raises BadInput where a file of published constants is missing or empty.
    """
    said = claims()
    rows = [_row(r, said["training_images"]) for r in table("hernandez2020_table3.csv")]
    names, dates, costs = frontier_points()
    x = [months(d) for d in dates]
    line = fit(x, costs)
    assert line is not None
    assert line.halving_low is not None
    span = x[-1] - x[0]
    pflop = {r["model"]: r["pflop"] for r in rows}
    return {
        "rows": rows,
        "reduction_factor": pflop["alexnet"] / pflop["efficientnet_b0"],
        "reduction_factor_frontier": costs[0] / costs[-1],
        "halving_months": line.halving_months,
        "halving_interval_ols": [line.halving_low, line.halving_high],
        "slope": line.slope,
        "intercept": line.intercept,
        "span_months": span,
        "moore_factor": moore_factor(span),
        "frontier": [
            {"publication": n, "published": d, "tfs_days": c} for n, d, c in zip(names, dates, costs, strict=True)
        ],
        "fragility": fragility(),
    }


def _row(r: dict[str, str], images_per_epoch: float) -> dict[str, Any]:
    epochs, gmacs = int(r["epochs"]), float(r["gmacs_per_image_used"])
    forward_macs = epochs * gmacs * 1e9 * images_per_epoch
    return {
        "model": r["model"],
        "epochs": epochs,
        "gmacs_per_image": gmacs,
        "pflop": paper_pflop(forward_macs),
        "tfs_days": paper_tfs_days(forward_macs),
        "printed_compute": float(r["printed_compute"]),
    }


def fragility() -> list[dict[str, Any]]:
    """Return what the headline hangs on: a name, what it does to the factor or the halving months, and words.

    Raises BadInput as `replay` does.
    """
    said = claims()
    epochs = {r["model"]: int(r["epochs"]) for r in table("hernandez2020_table3.csv")}
    gmacs = {r["model"]: float(r["gmacs_per_image_used"]) for r in table("hernandez2020_table3.csv")}
    stock = {r["model"]: float(r["gmacs_per_image"]) for r in table("torchvision_gmacs.csv")}
    cost = {m: epochs[m] * gmacs[m] for m in epochs}
    first, last = "alexnet", "efficientnet_b0"
    others = sorted((cost[m], m) for m in cost if m != last)
    names, dates, points = frontier_points()
    x = [months(d) for d in dates]
    items = [
        _item(
            "alexnet_early_stop",
            factor=said["alexnet_early_epochs"] * gmacs[first] / cost[last],
            words=f"AlexNet at {said['alexnet_early_epochs']:g} epochs ({said['alexnet_early_top5']:.1%} top-5)",
        ),
        _item(
            "efficientnet_resolution",
            factor=[cost[first] / cost[last], cost[first] / (cost[last] - gmacs[last])],
            words=f"EfficientNet's {epochs[last]} epochs mean ({epochs[last] - 1}, {epochs[last]}]",
        ),
        _item(
            "without_efficientnet",
            factor=cost[first] / others[0][0],
            words=f"EfficientNet left out: {others[0][1]} is the cheapest",
        ),
        _item(
            "torchvision_macs",
            factor=epochs[first] * stock[first] / (epochs[last] * stock[last]),
            words="MACs per image of torchvision's models instead of the table's",
        ),
        _item(
            "end_points_alone",
            halving=(x[-1] - x[0]) / math.log2(points[0] / points[-1]),
            words="the first and the last point instead of the fit over all",
        ),
    ]
    for leave, name in enumerate(names):
        kept = [i for i in range(len(names)) if i != leave]
        chosen = [kept[i] for i in frontier([dates[i] for i in kept], [points[i] for i in kept])]
        line = fit([x[i] for i in chosen], [points[i] for i in chosen])
        assert line is not None
        items.append(
            _item(
                f"leave_out:{name}",
                factor=points[chosen[0]] / points[chosen[-1]],
                halving=line.halving_months,
                words=f"{name} left out of the six points",
            )
        )
    items.append(
        _item(
            "other_method",
            halving=said["erdil_besiroglu_halving"],
            interval=[said["erdil_besiroglu_halving_low"], said["erdil_besiroglu_halving_high"]],
            words="Erdil & Besiroglu 2022, no fixed threshold (quoted, 95 % interval)",
        )
    )
    return items


def _item(
    name: str,
    *,
    words: str,
    factor: float | list[float] | None = None,
    halving: float | None = None,
    interval: list[float] | None = None,
) -> dict[str, Any]:
    return {"name": name, "words": words, "factor": factor, "halving_months": halving, "halving_interval": interval}


def text(document: dict[str, Any]) -> str:
    """Return the replay for a terminal."""
    table_rows = [
        [
            r["model"],
            str(r["epochs"]),
            f"{r['gmacs_per_image']:.2f}",
            f"{r['pflop']:.1f}",
            f"{r['tfs_days']:.3f}",
            f"{r['printed_compute']:.1f}",
            f"{r['pflop'] / r['printed_compute'] - 1:+.1%}",
        ]
        for r in document["rows"]
    ]
    header = ["architecture", "epochs", "GMAC/image", "PFLOP", "tfs-days", "printed", "difference"]
    fragile = [
        [i["words"], _factor(i["factor"]), number(i["halving_months"]), interval(i["halving_interval"], 2)]
        for i in document["fragility"]
    ]
    low, high = document["halving_interval_ols"]
    return "\n".join(
        [
            "Hernandez & Brown 2020, rebuilt from its constants (PFLOP = 3 x forward MACs x images / 1e15)",
            "",
            Table.of(header, table_rows).terminal(),
            "",
            f"reduction factor  {document['reduction_factor']:.1f}x from the table, "
            f"{document['reduction_factor_frontier']:.1f}x from the six frontier points",
            f"halving time      {document['halving_months']:.1f} months, "
            f"95 % interval of least squares {low:.1f} to {high:.1f}",
            f"Moore's law       {document['moore_factor']:.1f}x over the same {document['span_months']:.1f} months",
            "",
            "What the headline hangs on",
            Table.of(["change", "factor", "halving, months", "95 %"], fragile).terminal(),
        ]
    )


def _factor(value: float | list[float] | None) -> str:
    return f"{value[0]:.1f}-{value[1]:.1f}x" if isinstance(value, list) else f"{value:.1f}x" if value else number(None)
