"""What is said of an architecture: its card, its bill and the published study's count, as one row."""

import csv
import sys
from collections.abc import Iterable
from typing import Any

from harness.measure.bill.cache import bill_of, count_at_once
from harness.measure.bill.count import Bill
from harness.measure.config import cards
from harness.paths import PUBLISHED
from harness.record.errors import BadInput, HarnessError
from harness.record.units import macs_to_flops

STUDY = PUBLISHED / "hernandez2020_table3.csv"


def count_ahead(names: Iterable[str], *, resolution: int) -> None:
    """Count several architectures at once, for `row`; raises BadInput where a name is unknown."""
    network = {"classes": 1000, "resolution": resolution}
    read = [(name, cards.read_card(name, resolution=resolution)) for name in names]
    count_at_once({"name": name, "kwargs": card["kwargs"], **network} for name, card in read)


def counted(name: str, *, resolution: int = 224, fresh: bool = True) -> Bill:
    """The bill of an architecture at 1000 classes; raises BadInput where the name is unknown or the side too small.

    Without `fresh` one that was counted before and kept will do.
    """
    card = cards.read_card(name, resolution=resolution)
    smallest = card["min_resolution"]
    try:
        return bill_of(name, kwargs=card["kwargs"], classes=1000, resolution=resolution, fresh=fresh)
    except HarnessError:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__).strip()
        raise BadInput(f"{name} does not run at {resolution} pixels ({reason}); its smallest is {smallest}") from error


def remark(name: str) -> str | None:
    """One line where the card's numbers are another network's; None where they hold, or cannot be checked.

    Counts a network of 1000 classes at 224 pixels, once on a machine (cache.py).
    """
    try:
        card, bill = cards.read_card(name, resolution=224), counted(name, fresh=False)
    except HarnessError:
        return None  # no card of its own, or a network that does not run at 224 pixels
    return cards.card_remark(card, params=bill.params, forward_macs=bill.forward_macs)


def row(name: str, *, resolution: int = 224, fresh: bool = True) -> dict[str, Any]:
    """Everything `harness count` knows of one architecture at 1000 classes; MACs are per image."""
    card = cards.read_card(name, resolution=resolution)
    bill = counted(name, resolution=resolution, fresh=fresh)
    if resolution == 224 and (line := cards.card_remark(card, params=bill.params, forward_macs=bill.forward_macs)):
        print(f"harness: {line}", file=sys.stderr)
    study = study_gmacs().get(name)
    return {
        "model": name,
        "title": card["title"],
        "published": card["published"],
        "resolution": resolution,
        "classes": 1000,
        "params": bill.params,
        "auxiliary_params": bill.auxiliary_params,
        "forward_macs": bill.forward_macs,
        "weight_gradient_macs": bill.weight_gradient_macs,
        "input_gradient_macs": bill.input_gradient_macs,
        "spent_macs": bill.spent_macs,
        "spent_per_forward": round(bill.spent_macs / bill.forward_macs, 6),
        "spent_flops": macs_to_flops(bill.spent_macs),
        "evaluation_macs": bill.evaluation_macs,
        "study_forward_macs": None if study is None else round(study * 10**9),
        **_once(bill),
        **({} if bill.recomputed_macs == 0 else {"recomputed_macs": bill.recomputed_macs}),
        "by_operator": dict(sorted(bill.by_operator.items())),
        "elementwise_ops": dict(sorted(bill.elementwise_ops.items())),
        "fidelity": card["fidelity"],
    }


def _once(bill: Bill) -> dict[str, int]:
    """What a pass costs beside its images; nothing where that is nothing."""
    names = ("forward", "weight_gradient", "input_gradient", "evaluation")
    once = {name: getattr(bill, name) for name in (f"once_{name}_macs" for name in names)}
    return once if any(once.values()) else {}


def study_gmacs() -> dict[str, float]:
    """Forward GMAC per image that Hernandez & Brown (2020) used, by architecture (table 3).

    Raises BadInput where the table is missing.
    """
    if not STUDY.exists():
        raise BadInput(f"{STUDY} is missing; it comes with the source tree: restore it")
    with open(STUDY, newline="", encoding="utf-8") as file:
        return {line["model"]: float(line["gmacs_per_image_used"]) for line in csv.DictReader(file)}
