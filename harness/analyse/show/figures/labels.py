"""Labels of a scatter plot, each where it covers least of what is already drawn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

FONT_POINTS, MARKER_POINTS = 7.5, 4.5
NEAR, FAR = (7, 11), (18, 27, 38, 50, 64)
"""Distances from the point in typographic points; a label at a far one has a line to its point."""

WORSE = 20
"""How much worse it is to cover a mark or a label, or to leave the frame, than to cross a line."""

ANGLES = (0, 30, -30, 180, 150, -150, 90, -90, 60, -60, 120, -120)
"""Degrees from the right, in order of preference."""


@dataclass(frozen=True)
class Label:
    """Words at a point of the data; `low` to `high` is the bar drawn through it, `tail_points` a tail upwards."""

    x: float
    y: float
    words: str
    colour: str
    low: float
    high: float
    tail_points: float = 0.0


def place(
    figure: Any,
    axes: Any,
    labels: Sequence[Label],
    *,
    marks: Sequence[tuple[float, float]] = (),
    lines: Sequence[tuple[float, float]] = (),
) -> None:
    """Write the labels, in order; call it when scales, limits and everything else of the figure are settled.

    `marks`: further points of the data that no label may cover; `lines`: points of lines that it should not cross.
    """
    figure.draw_without_rendering()  # settles the layout, so that points have places on the page
    renderer, pixel = figure.canvas.get_renderer(), figure.dpi / 72
    frame = axes.get_window_extent(renderer)
    legend = axes.get_legend()
    taken = [] if legend is None else [legend.get_window_extent(renderer)]
    taken += [_square(axes.transData.transform(mark), 2 * pixel) for mark in marks]
    for label in labels:
        taken += _drawn(axes, label, pixel)
    inside, crossed = _corners([frame]), _corners([_square(axes.transData.transform(point), pixel) for point in lines])
    for label in (label for label in labels if label.words):
        tried, covered = [], _corners(taken)
        for rank, (distance, angle) in enumerate((d, a) for d in (*NEAR, *FAR) for a in ANGLES):
            text = _write(axes, label, distance, math.radians(angle))
            text.update_positions(renderer)
            box = Text.get_window_extent(text, renderer).padded(2)  # the words alone, without their line
            outside = box.width * box.height - _shared(box, inside)
            hidden = WORSE * (outside + _shared(box, covered)) + _shared(box, crossed)
            tried.append((round(hidden), rank, text, box))
            if hidden < 1:
                break
        (_, _, _, chosen), *others = sorted(tried, key=lambda t: t[:2])
        for _, _, text, _ in others:
            text.remove()
        taken.append(chosen)


def _drawn(axes: Any, label: Label, pixel: float) -> list[Bbox]:
    """The boxes of a label's mark, of its bar and of its tail."""
    (x, low), (_, high) = axes.transData.transform([(label.x, label.low), (label.x, label.high)])
    mark = _square(axes.transData.transform((label.x, label.y)), MARKER_POINTS * pixel)
    top = high + label.tail_points * pixel
    boxes = [mark, Bbox.from_extents(x - pixel, low, x + pixel, top)]
    return [*boxes, _square((x, top), MARKER_POINTS * pixel)] if label.tail_points else boxes


def _write(axes: Any, label: Label, distance: float, angle: float) -> Any:
    right, up = distance * math.cos(angle), distance * math.sin(angle)
    far = distance >= FAR[0]
    text = axes.annotate(
        label.words,
        (label.x, label.y),
        (right, up),
        textcoords="offset points",
        fontsize=FONT_POINTS,
        color=label.colour,
        ha="center" if abs(right) < 1 else "left" if right > 0 else "right",
        va="center_baseline" if abs(up) < 4 else "bottom" if up > 0 else "top",
        arrowprops={"arrowstyle": "-", "color": label.colour, "linewidth": 0.5, "shrinkB": 4} if far else None,
    )
    text.set_in_layout(False)  # a label never moves the axes it was placed in
    return text


def _square(centre: Any, half: float) -> Bbox:
    x, y = centre
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _corners(boxes: Sequence[Bbox]) -> NDArray[np.float64]:
    """(boxes, low and high, x and y), pixels."""
    return np.array([box.extents for box in boxes], dtype=np.float64).reshape(-1, 2, 2)


def _shared(box: Bbox, corners: NDArray[np.float64]) -> float:
    """Area of the overlap of a box with each of those of `corners`, added up; square pixels."""
    low, high = np.maximum(corners[:, 0], box.min), np.minimum(corners[:, 1], box.max)
    return float(np.maximum(high - low, 0).prod(axis=1).sum())
