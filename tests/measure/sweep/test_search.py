import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli
from harness.analyse.show.aggregate import build
from harness.measure.sweep.bisection import Ask, Found, Outcome, Rule, next_step
from harness.record.errors import BadInput
from tests.analyse.synthetic import Made, curve_reaching, write_runs


def play(
    reaches: Callable[[int, int], bool], *, low: int = 1, high: int = 40, rule: Rule | None = None
) -> tuple[Found, list[Outcome]]:
    """Run a search against `reaches(epochs, seed)`."""
    known: list[Outcome] = []
    while isinstance(step := next_step(known, low=low, high=high, rule=rule or Rule(3, 2)), Ask):
        outcome = Outcome(step.epochs, step.seed, reaches(step.epochs, step.seed))
        assert outcome not in known
        known.append(outcome)
    return step, known


@pytest.mark.parametrize("planted", [1, 2, 7, 13, 39, 40])
def test_it_finds_a_planted_minimal_plan(planted: int) -> None:
    found, known = play(lambda epochs, seed: epochs >= planted)
    assert found.epochs == planted
    assert len(known) <= 2 * 7, "two seeds a plan, and a logarithm of plans"


def test_it_finds_it_within_one_evaluation_step_when_seeds_differ() -> None:
    needs = [11.2, 12.0, 12.6]  # the second of three seeds decides
    found, _ = play(lambda epochs, seed: epochs >= needs[seed])
    assert found.epochs == 12


def test_nothing_found_is_an_answer() -> None:
    found, known = play(lambda epochs, seed: False)
    assert found.epochs is None
    assert {o.epochs for o in known} == {40}


def test_a_plan_is_decided_as_soon_as_it_can_be() -> None:
    _, known = play(lambda epochs, seed: seed != 0, low=40, high=40)
    assert [o.seed for o in known] == [0, 1, 2]
    _, known = play(lambda epochs, seed: True, low=40, high=40)
    assert [o.seed for o in known] == [0, 1]


def test_asking_again_goes_on_where_it_was() -> None:
    _, known = play(lambda epochs, seed: epochs >= 9)
    for done in range(len(known)):
        step = next_step(known[:done], low=1, high=40, rule=Rule(3, 2))
        assert step == Ask(known[done].epochs, known[done].seed)


@pytest.mark.parametrize(("seeds", "needed"), [(3, 4), (3, 0), (0, 0)])
def test_an_impossible_rule_is_refused(seeds: int, needed: int) -> None:
    with pytest.raises(BadInput):
        Rule(seeds, needed)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(BadInput):
        next_step([], low=5, high=4, rule=Rule(1, 1))


COMMAND = ["search", "model=shufflenet_v2_x1_0", "data=fake", "budget.epochs=2", "threads=1", "--seeds", "1", "--json"]


def test_a_real_search_leaves_records_of_its_own_kind_and_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learns = ["data=digits", "data.resolution=32", "target=fake", "target.confirm=1"]  # 0.93 after its one epoch
    command = [*COMMAND, *learns, f"out={tmp_path}", "target.metric=top5", "target.value=0.7"]
    assert cli.main(command) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["shortest_plan_epochs"] == 1
    assert [r["planned_epochs"] for r in document["runs"]] == [2, 1]
    assert document["search_ledger"]["train_forward_macs"] > 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert cli.main(command) == 0
    assert json.loads(capsys.readouterr().out) == document
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert cli.main(["check", str(tmp_path)]) == 0
    (group,) = build(tmp_path, draws=10)["groups"]
    assert group["rows"] == []
    assert group["searches"][0]["complete"]


def test_a_search_without_a_target_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*COMMAND, f"out={tmp_path}", "target=none"]) == 2
    assert "needs a level" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_table_reports_a_search_beside_the_fixed_plan(tmp_path: Path) -> None:
    runs = [Made("net1", curve_reaching(4), kind="search", planned_epochs=6, seed=s) for s in range(2)]
    runs += [
        Made("net1", [0.3] * 5, kind="search", planned_epochs=5, seed=s, outcome="budget_exhausted") for s in range(2)
    ]
    (group,) = build(write_runs(tmp_path, [*runs, Made("net1", curve_reaching(9))]), draws=10)["groups"]
    (found,) = group["searches"]
    assert (found["shortest_plan_epochs"], found["failed_plan_epochs"], found["complete"]) == (6, 5, True)
    assert found["runs"] == 4
    assert found["search_spent_macs"] == sum(2 * e * 1000 * 2_999_000 for e in (4, 5))
    assert group["rows"][0]["epochs"] == 9
