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

from harness.analyse.published import table as published_table
from harness.analyse.table import markdown_lines, reference_note, rows_by_cost
from harness.analyse.words import DATASETS, grid, interval, number, short_title
from harness.record.errors import BadInput
from harness.record.files import write_atomic

ROOT = Path(__file__).resolve().parents[2]
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


def headline(root: Path) -> str:
    """The measured factor and halving time with their intervals, and the figure."""
    shown = measured(root)
    if shown is None:
        return "No measured ladder is committed yet: `make demo` measures a small one on your machine."
    name, group, published = shown
    data, target, trend = group["dataset"], group["target"], group["trend"]
    titles = {r["model"]: short_title(r["title"]) for r in group["rows"]}
    words = DATASETS.get(data["name"], data["name"])
    subset = f" (a seeded subset of {data['train_images']:,} training images)" if data["subset"] else ""
    alt = f"Cost to target by publication date on {words}, with the fitted trend and Moore's law"
    at_least = "at least " if trend["reference_censored"] else ""
    return (
        f"**Measured on {words}{subset}:** {titles[trend['cheapest']]} reaches AlexNet's "
        f"{100 * target['value']:.1f} % {target['metric'][:3]}-{target['metric'][3]} with "
        f"**{at_least}{number(trend['reduction_factor'])}x** less arithmetic than {titles[trend['reference']]} "
        f"(95 % {interval(trend['reduction_interval'])}); the cost halves every "
        f"**{number(trend['halving_months'])} months** {interval(trend['halving_interval'])}. "
        f"Moore's law over the same span: {number(trend['moore_factor'])}x. Published for ImageNet: "
        f"{number(published['reduction_factor'])}x and {number(published['halving_months'])} months. "
        f"{group['runs']} runs, {trend['covers']}.\n\n"
        f"![{alt}](results/{name}/trend.svg)"
    )


def results_table(root: Path) -> str:
    """The measured table, the columns a reader asks for first."""
    shown = measured(root)
    if shown is None:
        return headline(root)
    name, group, _ = shown
    header = ["architecture", "date", "n", "reached", "epochs (after, at]", "PFLOP", "95 % or resolution", "factor",
              "flags"]  # fmt: skip
    lines = markdown_lines([row for row in rows_by_cost(group) if row["in_trend"]], header)
    return (
        grid(header, lines, markdown=True)
        + "\n\nBold: cheapest so far when published. PFLOP: 3 x forward MACs x images / 10^15, the study's unit. "
        f"Everything else, with the exact ledger and what the flags mean: [TABLE.md](results/{name}/TABLE.md)."
    )


def found(root: Path) -> str:
    """The findings that follow from the numbers: intervals, misses, and the order beside ImageNet's."""
    shown = measured(root)
    if shown is None:
        return headline(root)
    _, group, published = shown
    trend = group["trend"]
    rows = [r for r in group["rows"] if r["in_trend"]]
    missed = [r["title"] for r in rows if r["cost"] is None]
    lines = [
        f"* Factor {number(trend['reduction_factor'])}x {interval(trend['reduction_interval'])}; published "
        f"{number(published['reduction_factor'])}x.",
        f"* Halving every {number(trend['halving_months'])} months {interval(trend['halving_interval'])} by bootstrap "
        f"over {trend['covers']}, {interval(trend['halving_interval_ols'])} by least squares; published "
        f"{number(published['halving_months'])} {interval(published['halving_interval_ols'])}.",
        *([f"* {note.strip()}"] if (note := reference_note(group)) else []),
        f"* {len(rows) - len(missed)} of {len(rows)} architectures reach the level"
        + (f"; missed within the plan, and kept as lower bounds: {', '.join(missed)}." if missed else "."),
        *order_against_published(rows),
        f"* Run on: {'; '.join(sorted({h for r in rows for h in r['hardware']}))}.",
    ]
    return "\n".join(lines)


def order_against_published(rows: list[dict[str, Any]]) -> list[str]:
    """How far the order of architectures by cost is the published one: rank correlation and the widest moves."""
    import numpy as np

    theirs = {r["model"]: float(r["printed_compute"]) for r in published_table("hernandez2020_table3.csv")}
    both = [r for r in rows if r["cost"] is not None and r["model"] in theirs]
    if len(both) < 3:
        return []
    here = np.argsort(np.argsort([r["cost"] for r in both]))
    there = np.argsort(np.argsort([theirs[r["model"]] for r in both]))
    correlation = float(np.corrcoef(here, there)[0, 1])
    moves = sorted(range(len(both)), key=lambda i: (-abs(int(here[i]) - int(there[i])), both[i]["model"]))[:4]
    words = [
        f"{both[i]['title']} is {here[i] + 1} of {len(both)} here and {there[i] + 1} there" for i in moves
        if here[i] != there[i]
    ]  # fmt: skip
    return [
        f"* Order by cost, cheapest first, against the published table: rank correlation {correlation:.2f} over "
        f"{len(both)} architectures" + (f"; {', '.join(words)}." if words else ".")
    ]


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
    "zoo": zoo,
    "verbs": verbs,
}
