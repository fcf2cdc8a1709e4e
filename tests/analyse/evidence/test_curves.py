import numpy as np
import pytest

from harness.analyse.evidence.cost import UNITS
from harness.analyse.evidence.crossings import Crossing, crossing, crossing_indices
from harness.analyse.evidence.ladder import Rung
from harness.analyse.trend.thresholds import costs_at
from tests.analyse.synthetic import Made, trial


def test_equality_reaches_and_just_below_does_not():
    t = trial(Made("net", [0.499, 0.5]))
    assert crossing(t, "top1", 0.5) == Crossing(1, 0)
    assert crossing(t, "top1", 0.501) is None


def test_the_first_evaluation_has_none_before_it():
    assert crossing(trial(Made("net", [0.9])), "top1", 0.5) == Crossing(0, None)


def test_the_first_crossing_counts_and_two_in_a_row_can_be_asked_for():
    t = trial(Made("net", [0.2, 0.6, 0.4, 0.7, 0.7]))
    assert crossing(t, "top1", 0.5) == Crossing(1, 0)
    assert crossing(t, "top1", 0.5, in_a_row=2) == Crossing(3, 2)
    assert crossing(t, "top1", 0.5, in_a_row=3) is None
    assert crossing(trial(Made("net", [])), "top1", 0.5, in_a_row=2) is None


def test_many_levels_at_once_are_the_levels_one_at_a_time():
    rng = np.random.default_rng(5)
    levels = np.array(sorted({p / 100 for p in range(1, 100)} | {0.333, 0.5005}))
    for _ in range(20):
        t = trial(Made("net", list(rng.random(12))))
        for metric in ("top1", "top5"):
            found = crossing_indices(t, metric, levels)
            for level, index in zip(levels, found, strict=True):
                one = crossing(t, metric, level)
                assert index == (12 if one is None else one.index)


def test_costs_at_every_level_carry_their_resolution():
    rung = Rung(trial(Made("net", [0.2, 0.5])).plan, [trial(Made("net", [0.2, 0.5])), trial(Made("net", [0.3]))])
    low, middle, high = costs_at(rung, "top1", np.array([0.1, 0.4, 0.9]), "epochs")
    assert (low.low.tolist(), low.high.tolist()) == ([0, 0], [1, 1])
    assert (middle.low.tolist(), middle.high.tolist()) == ([1, 1], [2, np.inf])
    assert (high.low.tolist(), high.high.tolist()) == ([2, 1], [np.inf, np.inf])


def test_units_of_one_run():
    t = trial(Made("net", [0.1, 0.2], forward_macs=5_000_000))
    images = np.array([1000, 2000])
    assert UNITS["paper_pflop"](t) == pytest.approx(3 * images * 5e6 / 1e15)
    assert UNITS["spent_macs"](t).tolist() == (images * (15_000_000 - 1000)).tolist()
    assert UNITS["spent_flops"](t).tolist() == (2 * images * (15_000_000 - 1000)).tolist()
    assert UNITS["seconds"](t).tolist() == [10, 20]
    assert np.isnan(UNITS["joules"](t)).all()


def test_counts_beyond_64_bits_stay_exact():
    t = trial(Made("huge", [0.1, 0.9], forward_macs=10**17))
    assert int(t.count("train_forward_macs")[1]) == 2000 * 10**17
    rung = Rung(t.plan, [t])
    assert rung.costs("top1", 0.5, "spent_macs").median().high == pytest.approx(2000 * 3 * 10**17)
