"""`harness count`: the bill per image of every architecture."""

import argparse
import json
import sys
from typing import Any

from harness.measure.machine.importing import uncollected
from harness.record.errors import BadInput
from harness.record.fidelity import FLAGS, flags_of
from harness.record.units import FLOPS_PER_MAC
from harness.record.words import several

TABLE_COLUMNS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("models", nargs="*", metavar="MODEL", help="architectures; none = all, oldest first")
    parser.add_argument("--resolution", type=int, default=224, metavar="N", help="image side in pixels (default 224)")
    parser.add_argument("--no-cache", action="store_true", help="count again what was counted before and is kept")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")


def main(args: argparse.Namespace) -> int:
    """Count and print; raises BadInput for an unknown architecture or a size it cannot take."""
    with uncollected():
        from harness.measure.bill.report import count_ahead, row
        from harness.measure.config.cards import names

    if args.resolution < 1:
        raise BadInput("--resolution is a positive integer")
    chosen = list(dict.fromkeys(args.models)) or names()
    if not args.no_cache:
        _progress(f"counting {several(len(chosen), 'network')}")
        count_ahead(chosen, resolution=args.resolution)
    rows = []
    for number, name in enumerate(chosen, start=1):
        _progress(f"counting {name} ({number} of {len(chosen)})")
        rows.append(row(name, resolution=args.resolution, fresh=args.no_cache))
    _progress("")
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        _print_table(rows, resolution=args.resolution)
    return 0


def _progress(text: str) -> None:
    """One line on a terminal's stderr, rewritten; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _print_table(rows: list[dict[str, Any]], *, resolution: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("model", "published"):
        table.add_column(heading, no_wrap=True)
    headings = ("params M", "forward GMAC", "spent GMAC", "ratio", "study GMAC")
    for heading in headings:
        table.add_column(heading, justify="right")
    table.add_column("flags", no_wrap=True)
    for r in rows:
        study = r["study_forward_macs"]
        table.add_row(
            r["model"],
            r["published"],
            f"{r['params'] / 1e6:.2f}",
            f"{r['forward_macs'] / 1e9:.4f}",
            f"{r['spent_macs'] / 1e9:.4f}",
            f"{r['spent_per_forward']:.4f}",
            "-" if study is None else f"{study / 1e9:.2f}",
            " ".join(flags_of(r["fidelity"])) or "-",
        )
    console = Console(width=TABLE_COLUMNS, highlight=False)
    console.print(table)
    console.print(
        f"\nPer image at {resolution} pixels, 1000 classes, in training. GMAC: 10^9 multiply-accumulates, the products "
        f"of convolutions and matrices; some count {FLOPS_PER_MAC} FLOP for each. forward: with auxiliary heads. "
        "spent: forward and backward, what a training step costs. ratio: spent / forward. study: forward as Hernandez "
        "& Brown (2020) used it, who count 3 x that as spent.",
        soft_wrap=False,
    )
    for r in rows:
        if "recomputed_macs" in r:
            again = r["recomputed_macs"]
            amount = "an unknown amount" if again is None else f"{again / 1e9:.4f} GMAC an image"
            console.print(f"{r['model']}: its gradient checkpoints compute {amount} again, in no column above.")
    meanings = "; ".join(f"{code} {meaning}" for code, (_, _, meaning) in FLAGS.items())
    console.print(f"flags: {meanings}.")
