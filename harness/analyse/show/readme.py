"""`harness readme`: the generated blocks of README.md, filled from results/ and conf/. No number in them is typed.

A block stands between `<!-- generated: NAME -->` and `<!-- end -->`; what is outside the markers is left alone.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from harness.analyse.show import findings
from harness.analyse.show.words import grid, number
from harness.paths import ROOT
from harness.record.errors import BadInput
from harness.record.files import write_atomic

BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the file is out of date")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="DIR", help="source tree (default: this one)")


def main(args: argparse.Namespace) -> int:
    """Fill every block; raises BadInput for a marker that no block belongs to."""
    path = args.root / "README.md"
    before = path.read_text(encoding="utf-8")
    after = fill(before, args.root)
    if args.check:
        print(f"{path.name}: {'up to date' if before == after else 'out of date, run `make results`'}")
        return int(before != after)
    write_atomic(path, after)
    print(f"wrote {path.name}")
    return 0


def fill(text: str, root: Path) -> str:
    """The text with every block's content replaced."""

    def block(found: re.Match[str]) -> str:
        if found[2] not in BLOCKS:
            raise BadInput(f"README.md: no block is called {found[2]!r}; there are: {', '.join(BLOCKS)}")
        return f"{found[1]}{BLOCKS[found[2]](root).strip()}\n{found[3]}"

    return BLOCK.sub(block, text)


def headline(root: Path) -> str:
    """The measured factor and halving time beside the published ones, and the figure."""
    shown = measured(root)
    return NOTHING if shown is None else findings.headline(*shown)


def results_table(root: Path) -> str:
    """The measured table, the columns a reader asks for first."""
    shown = measured(root)
    return NOTHING if shown is None else findings.results_table(*shown[:2])


def found(root: Path) -> str:
    """The findings that follow from the numbers."""
    shown = measured(root)
    return NOTHING if shown is None else "\n".join(f"* {line}" for line in findings.lines(*shown[1:]))


NOTHING = "No measured ladder is committed yet: `make demo` measures a small one on your machine."


def measured(root: Path) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    """Folder name, group and published numbers of the ladder to show first: the one with most training images."""
    found = []
    for path in sorted((root / "results").glob("*/trend.json")):
        document = json.loads(path.read_text())
        found += [
            (group["dataset"]["train_images"], path.parent.name, group, document["published"])
            for group in document["groups"]
            if group["trend"] is not None and not group["trend"]["reason"]
        ]
    if not found:
        return None
    _, name, group, published = max(found, key=lambda f: (f[0], f[1]))
    return name, group, published


def loading(root: Path) -> str:
    """Images a second of one core, from originals and from prepared stores."""
    measured = json.loads((root / "results" / "throughput" / "loader.json").read_text())
    rate = {r["name"]: r["median"] for r in measured["one_core"]}
    originals = rate["originals, end to end, torchcodec"]
    stores = {
        "JPEG at 256 px": "prepared jpeg256, end to end",
        "raw pixels, random resized crop": "prepared raw256, resized crop, end to end",
        "raw pixels, random crop": "prepared raw256, random crop, end to end",
    }
    said = ", ".join(f"{rate[n]:,.0f} ({words}, {rate[n] / originals:.1f}x)" for words, n in stores.items())
    return (
        f"One core ({measured['circumstances']['cpu']}, median of {measured['rounds']} rounds) reads {originals:,.0f} "
        f"original images a second. `harness prepare` packs the set once into memory-mapped files, with the "
        f"reference's exact evaluation pixels; from them the same core reads {said}."
    )


def zoo(root: Path) -> str:
    """Every architecture with its card's facts."""
    cards = [yaml.safe_load(path.read_text()) for path in sorted((root / "conf" / "model").glob("*.yaml"))]
    header = ["model=", "architecture", "published", "parameters", "forward GMAC at 224 px"]
    lines = [
        [f"`{c['name']}`", f"[{c['title']}]({c['paper']})", c["published"], f"{c['params'] / 1e6:.2f} M",
         number(c["forward_macs"] / 1e9)]
        for c in sorted(cards, key=lambda c: (c["published"], c["name"]))
    ]  # fmt: skip
    return grid(header, lines, markdown=True, left=(0, 1))


def verbs(_root: Path) -> str:
    """Every verb with its example."""
    from harness.cli import VERBS

    lines = [[f"`{name}`", verb.help, f"`{verb.example}`"] for name, verb in VERBS.items()]
    return grid(["verb", "does", "for example"], lines, markdown=True, left=(0, 1, 2))


BLOCKS: dict[str, Callable[[Path], str]] = {
    "headline": headline,
    "table": results_table,
    "found": found,
    "loading": loading,
    "zoo": zoo,
    "verbs": verbs,
}
