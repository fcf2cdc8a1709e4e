"""Every figure of a group, by the name of its file."""

from typing import Any

from harness.analyse.show.figures.bars import clock, split
from harness.analyse.show.figures.canvas import WIDE, Picture
from harness.analyse.show.figures.compared import compared
from harness.analyse.show.figures.curves import curves
from harness.analyse.show.figures.thresholds import thresholds
from harness.analyse.show.figures.trend import trend


def pictures(document: dict[str, Any], published: dict[str, Any], width: float = WIDE) -> dict[str, Picture]:
    """Return the figures that the group has data for; none where it has no trend."""
    if document["trend"] is None:
        return {}
    drawn = {
        "trend": trend(document, published, width),
        "compared": compared(document, published, width),
        "split": split(document, width),
        "curves": curves(document, width),
        "thresholds": thresholds(document, width),
        "clock": clock(document, width),
    }
    return {name: picture for name, picture in drawn.items() if picture is not None}
