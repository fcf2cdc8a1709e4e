import math

import pytest

from harness.analyse.show.table import Table
from harness.analyse.show.words import interval, number, rounded, span
from harness.record.words import several


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "—"),
        (math.nan, "—"),
        (math.inf, "∞"),
        (0, "0"),
        (44.42, "44.4"),
        (0.0691, "0.0691"),
        (999.9, "1000"),
        (123456, "123000"),
        (1.5e12, "1.50e+12"),
        (-3.14159, "-3.14"),
    ],
)
def test_numbers(value: float | None, expected: str) -> None:
    assert number(value) == expected


def test_open_ends_are_words_and_no_interval_is_a_dash() -> None:
    assert interval([1.0, 2.0]) == "[1.00, 2.00]"
    assert interval([1.0, None]) == "1.00, no upper end"
    assert interval([None, 2.0]) == "no lower end, 2.00"
    assert interval([None, None]) == "no end known"
    assert interval(None) == "—"
    assert [span(ends, "months") for ends in ([1.0, 2.0], [1.0, None], [None, 2.0])] == [
        "1.00 to 2.00 months",
        "1.00 months and more, no upper end",
        "up to 2.00 months, no lower end",
    ]
    assert (span([1.0, 2.0]), span(None)) == ("1.00 to 2.00", "—")


def test_one_is_singular() -> None:
    assert [several(n, "run") for n in (0, 1, 2, 1000)] == ["0 runs", "1 run", "2 runs", "1,000 runs"]
    assert [several(n, "process") for n in (1, 2)] == ["1 process", "2 processes"]


def test_columns_line_up() -> None:
    plain = Table.of(["a", "b"], [["x", "1"], ["longer", "22"]]).terminal().splitlines()
    assert len({len(line) for line in plain}) == 1
    assert Table.of(["a"], [["x"]]).markdown().splitlines()[1] == "| --- |"


def test_rounding_hides_the_last_digits_only() -> None:
    assert rounded({"a": [0.1 + 0.2, 10**20, True, None, "x"]}) == {"a": [0.3, 10**20, True, None, "x"]}
