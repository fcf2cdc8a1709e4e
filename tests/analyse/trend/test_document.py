"""Notes on a reference that says something else than one expects."""

from pathlib import Path

import pytest

from harness import cli
from tests.analyse.synthetic import Made, curve_reaching, day, ladder, write_runs

NEWEST, CHEAPEST = "Alexnet, the reference, is the newest", "Alexnet, the reference, is the cheapest"
MISSES = Made("late", [0.2] * 5, published=day(10), outcome="budget_exhausted")


def reference(*, months: float, epochs: int) -> Made:
    return Made("alexnet", curve_reaching(epochs), published=day(months))


def other(*, months: float, epochs: int) -> Made:
    return Made("other", curve_reaching(epochs), published=day(months))


@pytest.mark.usefixtures("empty_figures")
@pytest.mark.parametrize(
    ("runs", "notes"),
    [
        (ladder(seeds=1), set()),
        ([reference(months=20, epochs=9), other(months=0, epochs=12)], {NEWEST, CHEAPEST}),
        ([reference(months=20, epochs=9), other(months=0, epochs=5)], {NEWEST}),
        ([reference(months=0, epochs=5), other(months=20, epochs=9)], {CHEAPEST}),
        ([reference(months=0, epochs=5), MISSES], {CHEAPEST}),
        ([Made("alexnet", [0.2] * 5, outcome="budget_exhausted"), other(months=20, epochs=3)], set()),
        ([reference(months=0, epochs=5)], set()),
    ],
    ids=["a ladder", "newest and cheapest", "newest", "cheapest", "the only one that reaches", "a miss", "alone"],
)
def test_a_reference_that_is_the_newest_or_the_cheapest_is_told(
    runs: list[Made], notes: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_runs(tmp_path / "runs", runs)
    out = tmp_path / "out"
    assert cli.main(["aggregate", str(folder), "--no-figures", "--draws", "50", "--out", str(out)]) == 0
    texts = [" ".join(capsys.readouterr().out.split())]
    texts += [(out / name).read_text() for name in ("TABLE.md", "trend.json")]
    assert cli.main(["report", str(folder), "--draws", "50", "--out", str(tmp_path / "page.html")]) == 0
    texts.append((tmp_path / "page.html").read_text())
    for text in texts:
        assert {note for note in (NEWEST, CHEAPEST) if note in text} == notes
