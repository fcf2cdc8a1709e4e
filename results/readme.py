"""`make results`: the generated blocks of the READMEs, filled from results/ and conf/. No number in them is typed.

A block stands between `<!-- generated: NAME -->` and `<!-- end -->`; what is outside the markers is left alone.
"""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from harness.analyse.evidence.published import claims
from harness.analyse.evidence.published import table as published_table
from harness.analyse.evidence.titles import named, short_title
from harness.analyse.show import collected, findings
from harness.analyse.show.table import Table
from harness.analyse.show.tables import main_table, rows_by_date, unfit
from harness.analyse.show.templates import environment
from harness.analyse.show.words import MISSING, halving, level_words, number, span, times
from harness.analyse.trend.collection.document import LEVELS
from harness.cli import VERBS
from harness.paths import ROOT
from harness.record.errors import BadInput
from harness.record.files import write_atomic

TEMPLATES = environment(Path(__file__).parent / "templates")
COLUMNS = ("architecture", "date", "reached", "epochs", "PFLOP", "factor")
PAGES = (
    "README.md",
    "harness/measure/data/README.md",
    "harness/verbs/README.md",
    "models/README.md",
    "results/FINDINGS.md",
    "results/throughput/README.md",
)
"""The pages that have generated blocks."""
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(root: Path = ROOT) -> None:
    """Fill every block of the pages below `root`. Raises BadInput for a marker that no block belongs to."""
    for page in PAGES:
        path = root / page
        write_atomic(path, fill(path.read_text(encoding="utf-8"), root))


def fill(text: str, root: Path) -> str:
    """Return the text with every block's content replaced. Raises BadInput for a block that does not exist."""

    def block(marker: re.Match[str]) -> str:
        opening, name, end = marker.groups()
        if name not in BLOCKS:
            raise BadInput(f"no block is called {name!r}; there are: {', '.join(BLOCKS)}")
        return f"{opening}{BLOCKS[name](root).strip()}\n{end}"

    return BLOCK.sub(block, text)


def headline(root: Path) -> str:
    """The measured factor and halving time beside the published ones, and the figure."""
    shown = measured(root)
    if shown is None:
        return NOTHING
    folder, group, published = shown
    trend, data = group["trend"], group["dataset"]
    titles = {r["model"]: short_title(r["title"]) for r in group["rows"]}
    return TEMPLATES.get_template("headline.md.j2").render(
        folder=folder,
        trend=trend,
        published=published,
        data=named(data["name"]),
        classes=data["classes"],
        images=data["train_images"],
        guess=GUESS[group["target"]["metric"]],
        level=level_words(group["target"]),
        over_levels=findings.over_levels(group),
        cheapest=titles[trend["cheapest"]],
        reference=titles[trend["reference"]],
        bound=trend["reference_censored"],
        same=findings.published_factor(trend["cheapest"]) if trend["cheapest"] != "efficientnet_b0" else None,
        study_level=level_words({"metric": "top5", "value": claims()["target_top5"]}),
        factor_is=findings.factor_confidence(group),
        line_is=findings.line_confidence(trend),
        moore=findings.against_moore(trend),
        cautions=findings.cautions(group),
        absent=not_measured(root, group),
        few=few_runs(group),
        enough=ENOUGH,
        made_of=findings.made_of(group),
        later=findings.later_words([r for r in group["rows"] if r["in_trend"]]),
    )


def few_runs(group: dict[str, Any]) -> list[str]:
    """Architectures of the trend that have fewer runs than a ladder gives each, with how many."""
    rows = [r for r in rows_by_date(group) if r["in_trend"] and r["n"] < ENOUGH]
    return [f"{short_title(r['title'])} ({r['n']})" for r in rows]


def not_measured(root: Path, group: dict[str, Any]) -> list[str]:
    """Architectures of the study and of the ladder's plan of which it has no run, by date of publication."""
    plan = root / "conf" / "experiment" / f"{group['dataset']['name']}_ladder.yaml"
    commands = re.findall(r"\bmodel=([\w,]+)", plan.read_text(encoding="utf-8")) if plan.is_file() else []
    asked = {row["model"] for row in published_table("hernandez2020_table3.csv")} | set(",".join(commands).split(","))
    absent = [_card(root, name) for name in sorted(asked - {row["model"] for row in group["rows"]}) if name]
    return [short_title(card["title"]) for card in sorted(absent, key=lambda card: (card["published"], card["name"]))]


def limits(root: Path) -> str:
    """What the shown ladder's data and plans are, beside ImageNet's, and which runs are absent."""
    shown = measured(root)
    if shown is None:
        return NOTHING
    _, group, _ = shown
    rows, data, level = group["rows"], group["dataset"], group["target"]["value"]
    return TEMPLATES.get_template("limits.md.j2").render(
        data=named(data["name"]),
        dataset=data,
        level=level_words(group["target"]),
        chance=100 * math.sqrt(level * (1 - level) / data["evaluation_images"]),
        resolutions=sorted({r["resolution"] for r in rows}),
        planned=max(r["planned_epochs"] for r in rows),
        reference_planned=next(r["planned_epochs"] for r in rows if r["model"] == group["trend"]["reference"]),
        few=few_runs(group),
        enough=ENOUGH,
        study_epochs=max(int(r["epochs"]) for r in published_table("hernandez2020_table3.csv")),
        absent=not_measured(root, group),
    )


def results_table(root: Path) -> str:
    """The measured table, the columns a reader asks for first."""
    shown = measured(root)
    if shown is None:
        return NOTHING
    folder, group, _ = shown
    warning = unfit(group["trend"])
    table = main_table([row for row in rows_by_date(group) if row["in_trend"]], warning).only(*COLUMNS)
    return TEMPLATES.get_template("table.md.j2").render(folder=folder, table=table.markdown(), unfit=warning)


def findings_list(root: Path) -> str:
    """The findings that follow from the numbers."""
    shown = measured(root)
    return NOTHING if shown is None else "\n".join(f"* {line}" for line in findings.lines(*shown[1:]))


ENOUGH = 3
"""Runs of each architecture that a ladder makes, or more."""

GUESS = {"top1": "the first guess", "top5": "one of five guesses"}
"""What is right in an image that counts."""

NOTHING = "No measured ladder is committed yet: `make demo` measures a small one on your machine."


def measured(root: Path) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    """Folder name, group and published numbers of the ladder to show first: the one with most training images."""
    ladders = []
    for path in sorted((root / "results").glob("*/trend.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        ladders += [
            (group["dataset"]["train_images"], path.parent.name, group, document["published"])
            for group in document["groups"]
            if group["trend"] is not None and not group["trend"]["reason"]
        ]
    if not ladders:
        return None
    _, name, group, published = max(ladders, key=lambda ladder: ladder[:2])
    return name, group, published


def loading(root: Path) -> str:
    """Images a second of one core, from originals and from prepared stores."""
    measured = json.loads((root / "results" / "throughput" / "loader.json").read_text(encoding="utf-8"))
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
    cards = [_card(root, path.stem) for path in (root / "conf" / "model").glob("*.yaml")]
    header = ["model=", "architecture", "published", "parameters", "forward GMAC at 224 px"]
    lines = [
        [
            f"`{c['name']}`",
            f"[{c['title']}]({c['paper']})",
            c["published"],
            f"{c['params'] / 1e6:.2f} M",
            number(c["forward_macs"] / 1e9),
        ]
        for c in sorted(cards, key=lambda c: (c["published"], c["name"]))
    ]
    return Table.of(header, lines, words=(0, 1)).markdown()


def _card(root: Path, model: str) -> dict[str, Any]:
    """Everything that a card states."""
    card: dict[str, Any] = yaml.safe_load((root / "conf" / "model" / f"{model}.yaml").read_text(encoding="utf-8"))
    return card


def verbs(_root: Path) -> str:
    """Every verb with its example."""
    lines = [[f"`{name}`", verb.help, f"`{verb.example}`"] for name, verb in VERBS.items()]
    return Table.of(["verb", "does", "for example"], lines, words=(0, 1, 2)).markdown()


def imagenet(root: Path) -> str:
    """The study, the public curves of ImageNet and the measured ladder in three columns, and all trends in a figure."""
    path = root / "results" / "imagenet_curves" / "collection.json"
    shown = measured(root)
    if shown is None or not path.is_file():
        return NOTHING
    document = json.loads(path.read_text(encoding="utf-8"))
    _, group, published = shown
    view = collected.view_of(document, *LEVELS[0])
    margin, top5 = (collected.view_of(document, *level) for level in LEVELS[1:])
    ladder, trend = group["trend"], view["trend"]
    titles = {row["model"]: short_title(row["title"]) for row in group["rows"] + view["rows"]}
    study_level, curves_level, half_a_point_lower, top5_level = (
        level_words({"metric": metric, "value": value})
        for metric, value in (
            ("top5", claims()["target_top5"]),
            *((v["metric"], v["level"]) for v in (view, margin, top5)),
        )
    )
    runs = sum(r["n"] for r in group["rows"] if r["in_trend"])
    lines = [
        ["level", study_level, curves_level, level_words(group["target"])],
        [
            "times less arithmetic than AlexNet",
            times(published["reduction_factor"]),
            times(trend["reduction_factor"]),
            times(ladder["reduction_factor"], at_least=ladder["reference_censored"]),
        ],
        ["with", "EfficientNet-B0", titles[trend["cheapest"]], titles[ladder["cheapest"]]],
        [
            "months a halving",
            number(published["halving_months"]),
            number(trend["halving_months"]),
            halving(ladder["halving_months"], at_most=ladder["reference_censored"]),
        ],
        ["95 % interval of the months", *map(span, _lines_known(published, trend, ladder))],
        ["runs", MISSING, f"{document['curves']}, by others", str(runs)],
    ]
    header = ["", "the study, ImageNet", "public curves, ImageNet", f"measured here, {named(group['dataset']['name'])}"]
    return TEMPLATES.get_template("imagenet.md.j2").render(
        table=Table.of(header, lines, words=(0, 1, 2, 3)).markdown(),
        networks=document["networks"],
        curves=document["curves"],
        margin=half_a_point_lower,
        margin_factor=times(margin["trend"]["reduction_factor"]),
        top5=top5_level,
        top5_factor=times(top5["trend"]["reduction_factor"]),
    )


def gpu_steps(root: Path) -> str:
    """What `python -m tests.bench.gpu` found on a GPU, a table a file."""
    parts = []
    for path in sorted((root / "results" / "throughput").glob("gpu_step_*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        facts, asked = document["circumstances"], document["settings"]
        first, *others = asked["ways"].split(",")
        rows = [row for row in document["networks"] if "failure" not in row]
        failed = [f"{row['model']} failed: {row['failure']}." for row in document["networks"] if "failure" in row]
        lines = [
            [
                row["model"],
                row["precision"],
                f"{row['images_per_second'][first]:,.0f}",
                *(f"{row['images_per_second'][way]:,.0f} ({row['of_bare'][way]:.2f})" for way in others),
                f"{row['share_of_matmul_ceiling']:.2%}",
            ]
            for row in rows
        ]
        header = ["images/s", "precision", first, *(f"{way} (/ {first})" for way in others), "fastest, of the matmul"]
        stretches = [seconds * steps_of(row, way) * int(asked["batch"]) for row in rows for way, seconds in timed(row)]
        over = f", each over {min(stretches):.2f} to {max(stretches):.2f} s" if stretches else ""
        parts += [
            f"**[{path.name}]({path.name})**: {facts['gpu']}, torch {facts['packages']['torch']}, driver "
            f"{facts.get('driver', 'unknown')}, commit {facts['commit'][:7]}; batch {asked['batch']} at "
            f"{asked['resolution']} pixels, medians of {asked['rounds']} rounds{over}; a bf16 matrix product reaches "
            f"{document['matmul_bf16_flops_per_second'] / 1e12:.0f} TFLOP/s there.",
            Table.of(header, lines, words=(0, 1)).markdown(),
            *failed,
        ]
    return "\n\n".join(parts) or "Not measured yet."


def timed(row: dict[str, Any]) -> list[tuple[str, float]]:
    """Each timed round of a network: the way, and its seconds an image."""
    return [(way, seconds) for way, found in row["seconds_per_image_rounds"].items() for seconds in found]


def steps_of(row: dict[str, Any], way: str) -> int:
    """Steps of a timed round; the first file has one number for all ways."""
    steps = row["steps"]
    return int(steps[way] if isinstance(steps, dict) else steps)


def _lines_known(published: dict[str, Any], trend: dict[str, Any], ladder: dict[str, Any]) -> list[list[float | None]]:
    """How well each of the three lines is known; only of the ladder there are seeds."""
    return [published["halving_interval_ols"], trend["halving_interval_ols"], ladder["halving_interval_line"]]


BLOCKS: dict[str, Callable[[Path], str]] = {
    "gpu_steps": gpu_steps,
    "headline": headline,
    "imagenet": imagenet,
    "table": results_table,
    "found": findings_list,
    "limits": limits,
    "loading": loading,
    "zoo": zoo,
    "verbs": verbs,
}

if __name__ == "__main__":
    main()
