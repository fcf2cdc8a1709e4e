from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.record.errors import BadInput
from harness.record.protocol import comparability_key
from harness.record.target import Target, reached


def make(**changes: object) -> Target:
    fields = {"metric": "top1", "value": 0.5, "split": "validation", "evaluations_per_epoch": 1, "source": "test"}
    return Target(**(fields | changes))  # type: ignore[arg-type]


def test_reached_at_equality_with_a_decimal_level() -> None:
    assert reached(28_261, 50_000, 0.56522)
    assert not reached(28_260, 50_000, 0.56522)


@given(st.integers(1, 60_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_reached_at_equality_with_a_measured_level(counts: tuple[int, int]) -> None:
    correct, total = counts
    assert reached(correct, total, correct / total)
    assert not reached(correct - 1, total, correct / total)


@given(st.integers(1, 60_000), st.integers(1, 99_999))
def test_reached_is_the_rational_comparison(total: int, level: int) -> None:
    value = level / 100_000
    for correct in {0, total // 2, total, level * total // 100_000, min(total, level * total // 100_000 + 1)}:
        assert reached(correct, total, value) == (Fraction(correct, total) >= Fraction(level, 100_000))


@pytest.mark.parametrize("value", [0, -0.1, 1.01, 56.5, True, "0.5"])
def test_a_level_that_is_no_fraction_is_refused(value: object) -> None:
    with pytest.raises(BadInput, match="fraction"):
        make(value=value)


def test_a_percent_gets_its_remedy() -> None:
    with pytest.raises(BadInput, match=r"did you mean 0\.565\?"):
        make(value=56.5)


def test_other_bad_fields_are_refused() -> None:
    with pytest.raises(BadInput, match="top1, top5"):
        make(metric="accuracy")
    with pytest.raises(BadInput, match="1 or more"):
        make(evaluations_per_epoch=0)
    with pytest.raises(BadInput, match="not a target"):
        Target.from_dict({"metric": "top1"})


def test_the_key_depends_on_what_makes_runs_comparable_and_on_nothing_else() -> None:
    key = comparability_key("a" * 64, make())
    assert comparability_key("a" * 64, make(source="other words")) == key
    others = {
        comparability_key("b" * 64, make()),
        comparability_key("a" * 64, make(value=0.6)),
        comparability_key("a" * 64, make(metric="top5")),
        comparability_key("a" * 64, make(evaluations_per_epoch=4)),
        comparability_key("a" * 64, None),
        comparability_key("a" * 64, make(), protocol_version=99),
    }
    assert key not in others
    assert len(others) == 6
