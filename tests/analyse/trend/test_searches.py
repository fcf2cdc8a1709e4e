"""Searches for the shortest plan in the analysis: beside the trend, by one estimator, old records included."""

from pathlib import Path

import pytest

from harness.analyse.show.aggregate import build
from harness.analyse.show.pages import markdown, terminal
from harness.record.dose_response import fit, tally
from tests.analyse.synthetic import TRAIN_IMAGES, Made, curve_reaching, write_runs


def sought(epochs: int, success: bool, seed: int, **more: object) -> Made:
    """A run of a search: its whole plan without a target, above the level for a while in its middle in any case."""
    curve = [*[0.3, 0.6, 0.6][: epochs - 1], *[0.4] * max(0, epochs - 4), 0.5 if success else 0.49]
    return Made("net1", curve, kind="search", target=None, planned_epochs=epochs, seed=seed,
                outcome="budget_exhausted", **more)  # fmt: skip


PLANTED = [(4, 0), (6, 1), (8, 2), (12, 3)]
"""Planned epochs, and how many of three runs end at the level."""


def planted() -> list[Made]:
    return [
        sought(epochs, seed < good, seed=10 * place + seed)
        for place, (epochs, good) in enumerate(PLANTED)
        for seed in range(3)
    ]


def test_e90_of_a_search_is_the_estimators_from_the_last_looks(tmp_path: Path) -> None:
    (group,) = build(write_runs(tmp_path, [*planted(), Made("net1", curve_reaching(9))]), draws=10)["groups"]
    (found,) = group["searches"]
    expected = fit(tally((epochs, seed < good) for epochs, good in PLANTED for seed in range(3)))
    assert found["e90_epochs"] == pytest.approx(expected.e90)
    assert found["interval_epochs"] == pytest.approx([expected.low, expected.high])
    assert [(t["planned_epochs"], t["succeeded"], t["runs"]) for t in found["tried"]] == [(e, g, 3) for e, g in PLANTED]
    assert (found["judged"], found["case"], found["runs"]) == ("end", "estimated", 12)
    an_epoch = 3 * TRAIN_IMAGES * 1_000_000 / 1e15
    assert found["e90_paper_pflop"] == pytest.approx(expected.e90 * an_epoch)
    assert found["search_paper_pflop"] == pytest.approx(an_epoch * 3 * sum(epochs for epochs, _ in PLANTED))
    assert found["search_spent_macs"] == 3 * sum(epochs for epochs, _ in PLANTED) * TRAIN_IMAGES * 2_999_000
    assert [row["epochs"] for row in group["rows"]] == [9], "the fixed plan stands by itself"


def test_a_search_alone_finds_its_level_in_its_records(tmp_path: Path) -> None:
    (group,) = build(write_runs(tmp_path, planted()), draws=10)["groups"]
    assert (group["target"]["value"], group["rows"], len(group["searches"])) == (0.5, [], 1)


def test_a_run_that_diverged_failed_and_one_without_memory_says_nothing(tmp_path: Path) -> None:
    broken = [
        Made("net1", [0.6, 0.6], kind="search", target=None, planned_epochs=8, seed=90, outcome="diverged"),
        Made("net1", [], kind="search", target=None, planned_epochs=8, seed=91, outcome="diverged"),
        Made("net1", [0.6, 0.6], kind="search", target=None, planned_epochs=8, seed=92, outcome="out_of_memory"),
    ]
    (group,) = build(write_runs(tmp_path, [*planted(), *broken]), draws=10)["groups"]
    (at_8,) = [t for t in group["searches"][0]["tried"] if t["planned_epochs"] == 8]
    assert (at_8["succeeded"], at_8["runs"]) == (2, 5)


def test_records_of_the_bisection_there_was_are_still_shown_and_told_apart(tmp_path: Path) -> None:
    old = [Made("net1", curve_reaching(4), kind="search", planned_epochs=6, seed=s) for s in range(2)]
    old += [Made("net1", [0.3] * 5, kind="search", planned_epochs=5, seed=9, outcome="budget_exhausted")]
    (group,) = build(write_runs(tmp_path, [*old, *planted()]), draws=10)["groups"]
    by_rule = {found["judged"]: found for found in group["searches"]}
    assert by_rule["end"]["runs"] == 12
    assert [(t["planned_epochs"], t["succeeded"]) for t in by_rule["crossing"]["tried"]] == [(5, 0), (6, 2)]


def test_the_table_and_the_terminal_say_e90_its_interval_and_what_was_tried(tmp_path: Path) -> None:
    document = build(write_runs(tmp_path, planted()), draws=10)
    (found,) = document["groups"][0]["searches"]
    low, high = found["interval_epochs"]
    for page in (markdown(document), terminal(document)):
        flat = " ".join(page.split())
        assert f"[{low:.2f}, {high:.1f}]" in flat
        assert "0 of 3 at 4 epochs, 1 of 3 at 6 epochs, 2 of 3 at 8 epochs, 3 of 3 at 12 epochs" in flat
        assert f"E90 is {found['e90_epochs']:.3g} epochs; 95 % interval: {low:.3g} to {high:.3g} epochs" in flat
    assert max(map(len, terminal(document).splitlines())) <= 100


def test_open_ends_are_words_in_the_table(tmp_path: Path) -> None:
    document = build(write_runs(tmp_path, [sought(5, False, seed) for seed in range(6)]), draws=10)
    assert "no upper end" in markdown(document)
    assert "inf" not in terminal(document).replace("info", "")
