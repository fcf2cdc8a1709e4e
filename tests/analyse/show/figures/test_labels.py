"""Labels cover neither marks nor one another."""

import json
from itertools import combinations
from typing import Any

import pytest
from matplotlib.text import Text

from harness.analyse.show.figures.canvas import NARROW, WIDE, new
from harness.analyse.show.figures.labels import Label, place
from harness.analyse.show.figures.trend import trend
from harness.paths import ROOT


def boxes_of(figure: Any, axes: Any) -> dict[str, Any]:
    """Where the words of each label stand, by their text."""
    renderer = figure.canvas.get_renderer()
    return {t.get_text(): Text.get_window_extent(t, renderer) for t in axes.texts if t.get_text()}


def test_labels_cover_neither_each_other_nor_the_points_and_stay_inside() -> None:
    """Four points close together, the last at the right edge: there is room around them for every label."""
    points = [(1.0, 1.00), (1.05, 1.02), (1.1, 1.04), (2.0, 1.0)]
    figure = new(WIDE, 4.8)
    axes = figure.add_subplot()
    axes.plot(*zip(*points, strict=True), "o")
    axes.set_xlim(0, 2.05)
    axes.set_ylim(0.8, 1.2)
    place(figure, axes, [Label(x, y, f"network {i}", "black", y, y) for i, (x, y) in enumerate(points)])
    boxes = boxes_of(figure, axes)
    assert sorted(boxes) == [f"network {i}" for i in range(4)]
    assert not any(a.overlaps(b) for a, b in combinations(boxes.values(), 2))
    assert not any(box.contains(*axes.transData.transform(point)) for box in boxes.values() for point in points)
    frame = axes.get_window_extent(figure.canvas.get_renderer())
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes.values())


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_label_of_the_committed_trend_covers_a_mark_or_another_label(width: float) -> None:
    document = json.loads((ROOT / "results" / "fashion_mnist_protocol1" / "trend.json").read_text())
    figure = trend(document["groups"][0], document["published"], width).figure
    (axes,) = figure.axes
    figure.draw_without_rendering()
    boxes = boxes_of(figure, axes)
    assert len(boxes) >= 5
    assert not any(a.overlaps(b) for a, b in combinations(boxes.values(), 2))
    dots = [line for line in axes.lines if line.get_marker() in ("o", "s", "^")]
    at = [line.get_transform().transform(xy) for line in dots for xy in line.get_xydata()]
    assert len(at) > 70  # 59 runs and 18 architectures
    assert [words for words, box in boxes.items() if any(box.contains(x, y) for x, y in at)] == []
    frame = axes.get_window_extent(figure.canvas.get_renderer())
    assert [words for words, box in boxes.items() if not (frame.x0 <= box.x0 and box.x1 <= frame.x1)] == []
