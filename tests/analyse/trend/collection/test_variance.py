import numpy as np
import pytest

from harness.analyse.trend.collection.variance import variance_of


def test_a_split_worked_out_by_hand() -> None:
    found = variance_of({"a": [1.0, 3.0], "b": [6.0, 8.0], "alone": [100.0]})
    # within: (2 + 2) / 2 = 2; among: 2 (2 - 4.5)^2 + 2 (7 - 4.5)^2 = 25; typical size 2; between: (25 - 2) / 2
    assert found.within == pytest.approx(2**0.5)
    assert found.between == pytest.approx(11.5**0.5)
    assert (found.groups, found.values) == (2, 4)
    assert found.share_within == pytest.approx(2 / 13.5)


def test_planted_variances_come_back_from_groups_of_unequal_size() -> None:
    rng = np.random.default_rng(4)
    groups = {str(n): rng.normal(rng.normal(0, 2.0), 0.7, 2 + n % 5).tolist() for n in range(800)}
    found = variance_of(groups)
    assert found.between == pytest.approx(2.0, rel=0.05)
    assert found.within == pytest.approx(0.7, rel=0.05)


def test_no_difference_between_groups_is_zero_and_too_few_groups_are_none() -> None:
    assert variance_of({"a": [1.0, 2.0], "b": [1.0, 2.0]}).between == 0.0
    assert variance_of({"a": [1.0, 2.0], "b": [3.0]}) is None
