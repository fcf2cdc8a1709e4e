from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analyse.evidence.cost import UNITS
from harness.analyse.evidence.crossings import Crossing, crossing, crossing_indices
from harness.analyse.evidence.ladder import Entry, ladder
from harness.analyse.evidence.runs.groups import Level, group_runs
from harness.analyse.evidence.runs.run import run_of
from harness.analyse.evidence.spread import pooled
from harness.analyse.trend.rows import row_of
from harness.analyse.trend.thresholds import costs_at
from harness.record.errors import BadInput
from tests.analyse.synthetic import TARGET, Made, evaluations, summary_of, trial


def test_equality_reaches_and_just_below_does_not() -> None:
    t = trial(Made("net", [0.499, 0.5]))
    assert crossing(t, "top1", 0.5) == Crossing(1, 0)
    assert crossing(t, "top1", 0.501) is None


def test_the_first_evaluation_has_none_before_it() -> None:
    assert crossing(trial(Made("net", [0.9])), "top1", 0.5) == Crossing(0, None)


def test_the_first_crossing_counts_and_two_in_a_row_can_be_asked_for() -> None:
    t = trial(Made("net", [0.2, 0.6, 0.4, 0.7, 0.7]))
    assert crossing(t, "top1", 0.5) == Crossing(1, 0)
    assert crossing(t, "top1", 0.5, confirm=2) == Crossing(3, 2)
    assert crossing(t, "top1", 0.5, confirm=3) is None
    assert crossing(trial(Made("net", [])), "top1", 0.5, confirm=2) is None


def test_many_levels_at_once_are_the_levels_one_at_a_time() -> None:
    rng = np.random.default_rng(5)
    levels = np.array(sorted({p / 100 for p in range(1, 100)} | {0.333, 0.5005}))
    for _ in range(20):
        t = trial(Made("net", list(rng.random(12))))
        for metric in ("top1", "top5"):
            found = crossing_indices(t, metric, levels)
            for level, index in zip(levels, found, strict=True):
                one = crossing(t, metric, level)
                assert index == (12 if one is None else one.index)
            for confirm in (2, 3, 12, 13):
                found = crossing_indices(t, metric, levels, confirm=confirm)
                ones = [crossing(t, metric, level, confirm=confirm) for level in levels]
                assert found.tolist() == [12 if one is None else one.index for one in ones]


def test_looks_without_a_top5_are_passed_over_by_it_and_by_nothing_else() -> None:
    made = Made("net", [0.1, 0.6, 0.7, 0.2, 0.8, 0.9])  # top-5: 0.55, 0.8, 0.85, 0.6, 0.9, 0.95
    rows = [replace(r, correct_top5=None if n in (0, 2) else r.correct_top5) for n, r in enumerate(evaluations(made))]
    t = run_of(Path("net"), summary_of(made, rows), rows, settings="")
    assert crossing(t, "top5", 0.8) == Crossing(1, None)
    assert crossing(t, "top5", 0.8, confirm=2) == Crossing(4, 3)
    assert crossing(t, "top5", 0.6, confirm=2) == Crossing(1, None)
    assert crossing(t, "top1", 0.6, confirm=2) == Crossing(1, 0)
    assert np.isnan(t.accuracy("top5")).tolist() == [True, False, True, False, False, False]
    assert crossing_indices(t, "top5", np.array([0.5, 0.8, 0.85, 0.99])).tolist() == [1, 1, 4, 6]
    assert crossing_indices(t, "top5", np.array([0.6, 0.8]), confirm=2).tolist() == [1, 4]


@pytest.mark.parametrize(
    ("curve", "cost"),
    [
        ([0.2, 0.6, 0.4, 0.7, 0.7], 4),  # the first crossing does not hold at the next look
        ([0.2, 0.4, 0.3, 0.6], None),  # the last look is the first above: not confirmed, a miss
        ([0.2, 0.5, 0.5], 2),  # equality is at the level
        ([0.2, 0.4, 0.49], None),
        ([0.6, 0.7], 1),  # at the first look
    ],
)
def test_costs_are_read_at_the_confirmed_crossing(curve: list[float], cost: int | None) -> None:
    target = TARGET | {"confirm": 2}
    (group,) = group_runs([trial(Made("alexnet", curve, target=target))])
    ((entry,), _, _) = ladder(group)
    (high,) = entry.costs("top1", 0.5, "epochs").at
    assert high == (np.inf if cost is None else cost)
    (at_level,) = costs_at(entry, "top1", np.array([0.5]), "epochs")
    assert at_level.at.tolist() == [high], "every table and figure reads one crossing"
    row = row_of(
        entry, group.target, "paper_pflop", reference=entry, draws=np.ones(9), ref_draws=np.ones(9),
        spread=pooled([]), in_trend=True,
    )  # fmt: skip
    assert row["reached"] == (0 if cost is None else 1)


def test_costs_at_every_level_carry_their_resolution() -> None:
    entry = Entry(trial(Made("net", [0.2, 0.5])).plan, [trial(Made("net", [0.2, 0.5])), trial(Made("net", [0.3]))])
    low, middle, high = costs_at(entry, "top1", np.array([0.1, 0.4, 0.9]), "epochs")
    assert (low.after.tolist(), low.at.tolist()) == ([0, 0], [1, 1])
    assert (middle.after.tolist(), middle.at.tolist()) == ([1, 1], [2, np.inf])
    assert (high.after.tolist(), high.at.tolist()) == ([2, 1], [np.inf, np.inf])


def test_units_of_one_run() -> None:
    t = trial(Made("net", [0.1, 0.2], forward_macs=5_000_000))
    images = np.array([1000, 2000])
    assert UNITS["paper_pflop"](t) == pytest.approx(3 * images * 5e6 / 1e15)
    assert UNITS["spent_macs"](t).tolist() == (images * (15_000_000 - 1000)).tolist()
    assert UNITS["seconds"](t).tolist() == [10, 20]
    assert np.isnan(UNITS["joules"](t)).all()


def test_counts_beyond_64_bits_stay_exact() -> None:
    t = trial(Made("huge", [0.1, 0.9], forward_macs=10**17))
    assert int(t.count("train_forward_macs")[1]) == 2000 * 10**17
    entry = Entry(t.plan, [t])
    assert entry.costs("top1", 0.5, "spent_macs").median().at == pytest.approx(2000 * 3 * 10**17)


def test_a_run_that_watches_two_levels_is_judged_at_each() -> None:
    both = trial(Made("alexnet", [0.4, 0.6, 0.7], target=TARGET | {"also": {"top5": 0.75}}))
    groups = group_runs([both])
    assert [(g.target.metric, g.target.value) for g in groups] == [("top1", 0.5), ("top5", 0.75)]
    assert all(g.runs == [both] for g in groups)


def test_a_calibration_run_gives_no_cost() -> None:
    runs = [
        trial(Made("alexnet", [0.4, 0.6], seed=1)),
        trial(Made("alexnet", [0.6, 0.7], seed=2, target=None, kind="calibration", outcome="budget_exhausted")),
    ]
    (group,) = group_runs(runs)
    assert group.runs == runs[:1]
    assert group.notes == ["set the level and give no cost: 1 calibration run"]
    with pytest.raises(BadInput, match="only calibration runs"):
        group_runs(runs[1:])


@pytest.mark.parametrize(("target", "confirm"), [(TARGET, 1), (TARGET | {"confirm": 3}, 3), (None, 2)])
def test_a_level_asked_for_is_judged_by_the_runs_own_rule(target: dict[str, Any] | None, confirm: int) -> None:
    run = trial(Made("alexnet", [0.4, 0.6, 0.5, 0.7], target=target))
    (group,) = group_runs([run], Level("top1", 0.45))
    assert group.target.confirm == confirm


def test_runs_of_two_protocols_on_one_data_set_are_two_groups_each_judged_by_its_own_rule() -> None:
    """Also at a level asked for, and where the curves are the same."""
    old = replace(trial(Made("alexnet", [0.4, 0.6, 0.4, 0.7, 0.7], target=None)), protocol_version=1)
    new = replace(old, protocol_version=2, seed=1)
    groups = group_runs([old, new], Level("top1", 0.5))
    assert [(g.protocol_version, g.runs) for g in groups] in ([(1, [old]), (2, [new])], [(2, [new]), (1, [old])])
    assert len({g.key for g in groups}) == 2
    costs = {g.protocol_version: ladder(g)[0][0].costs("top1", 0.5, "epochs").at.tolist() for g in groups}
    assert costs == {1: [2], 2: [4]}
