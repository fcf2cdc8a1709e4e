"""Labels of a scatter plot, each where it covers least of what is already drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PLACES = ((6, 0), (6, 5), (6, -5), (-6, 0), (-6, 5), (-6, -5), (0, 7), (0, -7), (10, 11), (10, -11))
"""Offsets from the point in typographic points, in order of preference; the sign of the first says which side."""

FONT_POINTS, MARKER_POINTS = 7, 4
_SIDE = {1: "left", 0: "center", -1: "right"}
_EDGE = {1: "bottom", 0: "center_baseline", -1: "top"}


@dataclass(frozen=True)
class Label:
    """Words at a point of the data; `low` to `high` is the bar or arrow drawn through it."""

    x: float
    y: float
    words: str
    colour: str
    low: float
    high: float


def place(figure: Any, axes: Any, labels: Sequence[Label]) -> None:
    """Write the labels, in order; call it when scales, limits and everything else of the figure are settled."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()  # settles the layout, so that points have places on the page
    renderer, pixel = figure.canvas.get_renderer(), figure.dpi / 72
    frame = axes.get_window_extent(renderer)
    taken = []
    for label in labels:
        (x, low), (_, high) = axes.transData.transform([(label.x, label.low), (label.x, label.high)])
        _, y = axes.transData.transform((label.x, label.y))
        half = MARKER_POINTS * pixel
        taken += [Bbox.from_extents(x - half, y - half, x + half, y + half), Bbox.from_extents(x - 1, low, x + 1, high)]
    for label in labels:
        tried = []
        for rank, (right, up) in enumerate(PLACES):
            text = axes.annotate(
                label.words, (label.x, label.y), (right, up), textcoords="offset points", fontsize=FONT_POINTS,
                color=label.colour, ha=_SIDE[_sign(right)], va=_EDGE[_sign(up)],
            )  # fmt: skip
            text.set_in_layout(False)  # a label never moves the axes it was placed in
            box = text.get_window_extent(renderer)
            hidden = sum(_shared(box, other) for other in taken) + box.width * box.height - _shared(box, frame)
            tried.append((hidden, rank, text, box))
        (_, _, _, chosen), *others = sorted(tried, key=lambda t: t[:2])
        for _, _, text, _ in others:
            text.remove()
        taken.append(chosen)


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _shared(a: Any, b: Any) -> float:
    """Area of the overlap of two boxes, square pixels."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return float(width * height) if width > 0 and height > 0 else 0.0
