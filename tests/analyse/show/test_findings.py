"""Ranks and rank correlation of the findings, against scipy's own."""

import numpy as np
import pytest
from scipy.stats import rankdata

from harness.analyse.show.findings import ranks


@pytest.mark.parametrize("values", [[3.0], [2.0, 1.0, 3.0], [1.0, 1.0, 2.0, 2.0, 2.0, 0.5]], ids=str)
def test_ranks_are_scipys(values: list[float]) -> None:
    assert ranks(values).tolist() == rankdata(values).tolist()


def test_equal_values_share_a_rank_in_a_longer_list() -> None:
    values = np.random.default_rng(0).integers(0, 9, 60).tolist()
    assert ranks(values).tolist() == rankdata(values).tolist()
