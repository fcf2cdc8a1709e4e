"""`harness count`: the bill per image of every architecture."""

import argparse
import csv
import json
import sys
from typing import Any

from harness.paths import PUBLISHED
from harness.record.errors import BadInput, HarnessError
from harness.record.units import macs_to_flops

STUDY = PUBLISHED / "hernandez2020_table3.csv"
TABLE_COLUMNS = 100

# fidelity flag of the cards -> letter in the tables, and the value that earns it
FLAGS = {
    "era_operators": ("E", False, "operators younger than the paper"),
    "batchnorm_before_2015": ("B", True, "BatchNorm in a net from before 2015"),
    "changed_kernels": ("K", True, "kernels, widths, groups or strides changed"),
    "ema_as_published": ("A", False, "weight averaging not as published"),
    "dropout_as_published": ("D", False, "dropout not as published"),
    "stochastic_depth_as_published": ("S", False, "stochastic depth not as published"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("models", nargs="*", metavar="MODEL", help="architectures; none = all, oldest first")
    parser.add_argument("--resolution", type=int, default=224, metavar="N", help="image side in pixels (default 224)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="count a step of N images (default 1)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")


def main(args: argparse.Namespace) -> int:
    """Count and print; raises BadInput for an unknown architecture or a size it cannot take."""
    from harness.measure.config.cards import names

    if args.resolution < 1 or args.batch < 1:
        raise BadInput("--resolution and --batch are positive integers")
    chosen = list(dict.fromkeys(args.models)) or names()
    rows = []
    for number, name in enumerate(chosen, start=1):
        _progress(f"counting {name} ({number} of {len(chosen)})")
        rows.append(row(name, resolution=args.resolution, batch=args.batch))
    _progress("")
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        _print_table(rows, resolution=args.resolution, batch=args.batch)
    return 0


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


def _progress(text: str) -> None:
    """One line on a terminal's stderr, rewritten; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _print_table(rows: list[dict[str, Any]], *, resolution: int, batch: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("model", "published"):
        table.add_column(heading, no_wrap=True)
    step = "" if batch == 1 else f" x{batch}"
    headings = ("params M", f"forward GMAC{step}", f"spent GMAC{step}", "ratio", f"spent GFLOP{step}", "study GMAC")
    for heading in headings:
        table.add_column(heading, justify="right")
    table.add_column("flags", no_wrap=True)
    for r in rows:
        study = r["study_forward_macs"]
        table.add_row(
            r["model"],
            r["published"],
            f"{r['params'] / 1e6:.2f}",
            f"{r['step_forward_macs'] / 1e9:.4f}",
            f"{r['step_spent_macs'] / 1e9:.4f}",
            f"{r['spent_per_forward']:.4f}",
            f"{macs_to_flops(r['step_spent_macs']) / 1e9:.3f}",
            "-" if study is None else f"{study / 1e9:.2f}",
            flags(r["fidelity"]) or "-",
        )
    console = Console(width=TABLE_COLUMNS, highlight=False)
    console.print(table)
    per = "image" if batch == 1 else f"step of {batch} images"
    console.print(
        f"\nPer {per} at {resolution} pixels, 1000 classes, train mode with auxiliary heads. 1 MAC = 2 FLOP. spent = "
        "forward + the gradients autograd computes; norms, activations and pooling are in --json, in no MAC column. "
        "study: forward as Hernandez & Brown (2020) used it, who count 3 x that as spent.",
        soft_wrap=False,
    )
    console.print(f"flags: {legend()}.")
