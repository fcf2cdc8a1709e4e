"""What is said of an architecture: its card, its bill and the published study's count, as one row."""

import csv
import sys
from typing import Any

from harness.paths import PUBLISHED
from harness.record.errors import BadInput, HarnessError
from harness.record.units import macs_to_flops

STUDY = PUBLISHED / "hernandez2020_table3.csv"

# fidelity flag of the cards -> letter in the tables, and the value that earns it
FLAGS = {
    "era_operators": ("E", False, "operators younger than the paper"),
    "batchnorm_before_2015": ("B", True, "BatchNorm in a net from before 2015"),
    "changed_kernels": ("K", True, "kernels, widths, groups or strides changed"),
    "ema_as_published": ("A", False, "weight averaging not as published"),
    "dropout_as_published": ("D", False, "dropout not as published"),
    "stochastic_depth_as_published": ("S", False, "stochastic depth not as published"),
}


def row(name: str, *, resolution: int = 224, batch: int = 1) -> dict[str, Any]:
    """Everything `harness count` knows of one architecture at 1000 classes; MACs are per image unless named `step_`."""
    from harness.measure.bill.count import bill
    from harness.measure.config import cards

    card = cards.read_card(name, resolution=resolution)
    try:
        counted = bill(cards.skeleton(name, resolution=resolution), resolution=resolution)
    except HarnessError:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__).strip()
        raise BadInput(
            f"{name} does not run at {resolution} pixels ({reason}); its smallest is {card['min_resolution']}"
        ) from error
    if resolution == 224 and (
        line := cards.card_remark(card, params=counted.params, forward_macs=counted.forward_macs)
    ):
        print(f"harness: {line}", file=sys.stderr)
    study = study_gmacs().get(name)
    return {
        "model": name,
        "title": card["title"],
        "published": card["published"],
        "resolution": resolution,
        "classes": 1000,
        "params": counted.params,
        "auxiliary_params": counted.auxiliary_params,
        "forward_macs": counted.forward_macs,
        "weight_gradient_macs": counted.weight_gradient_macs,
        "input_gradient_macs": counted.input_gradient_macs,
        "spent_macs": counted.spent_macs,
        "spent_per_forward": round(counted.spent_macs / counted.forward_macs, 6),
        "spent_flops": macs_to_flops(counted.spent_macs),
        "evaluation_macs": counted.evaluation_macs,
        "study_forward_macs": None if study is None else round(study * 10**9),
        "batch": batch,
        "step_forward_macs": batch * counted.forward_macs,
        "step_spent_macs": batch * counted.spent_macs,
        "by_operator": dict(sorted(counted.by_operator.items())),
        "elementwise_ops": dict(sorted(counted.elementwise_ops.items())),
        "fidelity": card["fidelity"],
    }


def flags(fidelity: dict[str, Any]) -> str:
    """The letters of FLAGS that a card earns."""
    return "".join(letter for key, (letter, value, _) in FLAGS.items() if fidelity[key] is value)


def legend() -> str:
    """What the letters mean."""
    return "; ".join(f"{letter} {text}" for letter, _, text in FLAGS.values())


def study_gmacs() -> dict[str, float]:
    """Forward GMAC per image that Hernandez & Brown (2020) used, by architecture (table 3)."""
    if not STUDY.exists():
        raise BadInput(f"{STUDY} is missing; it comes with the source tree: restore it")
    with open(STUDY, newline="", encoding="utf-8") as file:
        return {line["model"]: float(line["gmacs_per_image_used"]) for line in csv.DictReader(file)}
