"""`make results`: tables, findings and figures of the published ImageNet curves, from the committed files alone."""

import json
from pathlib import Path
from typing import Any

from harness.analyse.evidence.titles import named
from harness.analyse.foreign.derived import read_published
from harness.analyse.show import collected
from harness.analyse.show.figures.canvas import Picture, save
from harness.analyse.show.figures.collected import collected_thresholds, collected_trend, level_words, three_trends
from harness.analyse.show.replay import replay
from harness.analyse.show.templates import environment
from harness.analyse.show.words import rounded
from harness.analyse.trend.collection.document import LEVELS, collection_document
from harness.paths import ROOT
from harness.record.files import write_atomic
from results.readme import measured

TEMPLATES = environment(Path(__file__).parent / "templates")
RESULTS = ROOT / "results"
FOLDER = RESULTS / "imagenet_curves"


def main(out: Path = FOLDER) -> None:
    """Write collection.json, TABLE.md and the figures; return nothing. Raises BadInput where the tables do not fit."""
    curves = read_published(FOLDER)
    document = rounded(collection_document(curves))
    drawn = pictures(document)
    remarks = sorted(f"{c.curve}: {c.remark}." for c in curves if c.remark)
    write_atomic(out / "collection.json", json.dumps(document, indent=1, allow_nan=False) + "\n")
    write_atomic(out / "TABLE.md", page(document, drawn, remarks))
    for name, picture in drawn.items():
        save(picture, out, name)
    print(f"wrote {out / 'TABLE.md'}, collection.json and {len(drawn)} figures")


def page(document: dict[str, Any], drawn: dict[str, Picture], remarks: list[str]) -> str:
    """TABLE.md."""
    chosen = [collected.view_of(document, metric, level) for metric, level in LEVELS]
    return TEMPLATES.get_template("imagenet_curves.md.j2").render(
        document=document,
        findings=collected.findings(document),
        headlines=collected.headlines(document).markdown(),
        networks=[(f"Networks at {level_words(view)}", collected.networks(view).markdown()) for view in chosen],
        references=collected.references(document).markdown(),
        surfaces=collected.surfaces(document).markdown(),
        study_epochs=collected.study_epochs(document).markdown(),
        pictures={name: picture.caption for name, picture in drawn.items()},
        remarks=remarks,
    )


def pictures(document: dict[str, Any]) -> dict[str, Picture]:
    """Every figure by its name."""
    published = replay()
    first, margin, study = (collected.view_of(document, *level) for level in LEVELS)
    shown = measured(ROOT)
    assert shown is not None  # a ladder is committed
    ladder = shown[1]
    sets = [
        _measured(f"measured here ({named(ladder['dataset']['name'])})", ladder),
        _measured(f"ImageNet, public curves ({level_words(first)})", first),
        _study(published),
    ]
    levels = collected_thresholds(first, document["thresholds"])
    assert levels is not None  # the committed curves have a trend
    return {
        "trend": collected_trend(first, published),
        "trend_top1_56": collected_trend(margin, published),
        "trend_top5": collected_trend(study, published),
        "thresholds": levels,
        "three_trends": three_trends(sets),
    }


def _measured(words: str, found: dict[str, Any]) -> dict[str, Any]:
    """A trend of ours as a set of the figure. found: a document's group, or a view of the collection."""
    trend = found["trend"]
    points = [
        (r["published"], r["cost"] or r["cost_above"]) for r in found["rows"] if r["in_trend"] and r["on_frontier"]
    ]
    return _set(words, points, trend, bound=trend["reference_censored"])


def _study(published: dict[str, Any]) -> dict[str, Any]:
    points = [(p["published"], p["tfs_days"]) for p in published["frontier"]]
    return _set("the study (ImageNet, top-5 79.1 %)", points, published, bound=False)


def _set(words: str, points: list[tuple[str, float]], trend: dict[str, Any], *, bound: bool) -> dict[str, Any]:
    months = trend["halving_months"]
    return {
        "words": words,
        "points": points,
        "factor": trend["reduction_factor"],
        "halving_months": months,
        "bound": bound,
    }


if __name__ == "__main__":
    main()
