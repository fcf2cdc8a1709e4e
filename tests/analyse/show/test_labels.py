from itertools import combinations

from harness.analyse.show.figures import new_axes
from harness.analyse.show.labels import Label, place


def test_labels_cover_neither_each_other_nor_the_points_and_stay_inside():
    """Four points close together, the last at the right edge: there is room around them for every label."""
    points = [(1.0, 1.00), (1.05, 1.02), (1.1, 1.04), (2.0, 1.0)]
    figure, axes = new_axes()
    axes.plot(*zip(*points, strict=True), "o")
    axes.set_xlim(0, 2.05)
    axes.set_ylim(0.8, 1.2)
    place(figure, axes, [Label(x, y, f"network {i}", "black", y, y) for i, (x, y) in enumerate(points)])
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == [f"network {i}" for i in range(4)]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert not any(box.contains(*axes.transData.transform(point)) for box in boxes for point in points)
    frame = axes.get_window_extent(renderer)
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
