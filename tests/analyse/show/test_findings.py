"""Sentences of the findings, and the ranks in them against scipy's own."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

from harness.analyse.show.findings import against_moore, later_words, ranks


@pytest.mark.parametrize("values", [[3.0], [2.0, 1.0, 3.0], [1.0, 1.0, 2.0, 2.0, 2.0, 0.5]], ids=str)
def test_ranks_are_scipys(values: list[float]) -> None:
    assert ranks(values).tolist() == rankdata(values).tolist()


def test_equal_values_share_a_rank_in_a_longer_list() -> None:
    values = np.random.default_rng(0).integers(0, 9, 60).tolist()
    assert ranks(values).tolist() == rankdata(values).tolist()


def test_what_came_after_the_frontier_is_told() -> None:
    """Of those that reached the level; one that missed says nothing of how cheap it could be."""
    rows: list[dict[str, Any]] = [
        {"published": "2012-06-01", "on_frontier": True, "cost": 9.0},
        {"published": "2017-07-04", "on_frontier": True, "cost": 1.0},
        {"published": "2018-01-13", "on_frontier": False, "cost": 2.0},
        {"published": "2019-05-28", "on_frontier": False, "cost": None},
        {"published": "2018-07-30", "on_frontier": False, "cost": 3.0},
    ]
    start = " The newest of these is of 2017-07-04."
    alone = "The one published later that reached the level, of 2018-01-13, was not cheaper."
    two = "Of the 2 published later, up to 2018-07-30, that reached the level none was cheaper."
    assert later_words(rows[:4]) == f"{start} {alone}"
    assert later_words(rows) == f"{start} {two}"
    assert later_words(rows[:2]) == ""


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ([8.0, None], "inside that interval: this line alone does not tell the two apart. No upper end"),
        ([12.0, 30.0], "inside that interval: this line alone does not tell the two apart."),
        ([12.0, 20.0], "outside that interval: the two differ."),
        (None, ""),
    ],
    ids=str,
)
def test_an_open_end_is_told_beside_moores_law(ends: list[float | None] | None, words: str) -> None:
    said = against_moore({"halving_interval_line": ends})
    assert words in said
    assert ("did not fall at all" in said) == (ends is not None and ends[1] is None)
