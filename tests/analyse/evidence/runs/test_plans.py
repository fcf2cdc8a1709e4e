"""When two runs are repetitions of one another, and when they are two plans."""

from pathlib import Path

import pytest

from harness.analyse.evidence.ladder import ladder
from harness.analyse.evidence.runs.groups import group_runs
from harness.analyse.evidence.runs.plans import recipe_settings, told_apart
from harness.analyse.evidence.runs.run import Run, run_of
from tests.analyse.synthetic import Made, curve_reaching, evaluations, summary_of, trial


def spread(world_size: int, batchnorm_images: int | None, seed: int = 0) -> Run:
    """The same run over so many processes."""
    made = Made("resnet18", curve_reaching(5), seed=seed, world_size=world_size, batchnorm_images=batchnorm_images)
    return trial(made)


def test_a_run_over_many_processes_repeats_no_run_on_one() -> None:
    one, again, two, synchronised = spread(1, 32), spread(1, 32, seed=1), spread(2, 16), spread(2, 32)
    assert one.plan == again.plan
    assert len({one.plan, two.plan, synchronised.plan}) == 3
    (group,) = group_runs([one, two])  # one seed and one curve: only the plan tells them apart
    assert len(group.runs) == 2


def test_the_words_say_what_differs() -> None:
    plans = [spread(1, 32).plan, spread(2, 16).plan]
    assert told_apart(plans) == ["1 process, 32 images per BatchNorm", "2 processes, 16 images per BatchNorm"]
    assert told_apart([spread(1, None).plan, plans[0]]) == ["unknown images per BatchNorm", "32 images per BatchNorm"]
    assert told_apart(plans[:1]) == [""]


@pytest.mark.parametrize(
    ("older", "newer", "same"),
    [
        ("  randaugment: false\n", "  randaugment: false\n  randaugment_magnitude: 9\n", True),
        ("  randaugment: false\n  randaugment_magnitude: 5\n", "  randaugment: false\n", True),
        ("  randaugment: true\n", "  randaugment: true\n  randaugment_magnitude: 9\n", True),
        ("  randaugment: true\n", "  randaugment: true\n  randaugment_magnitude: 15\n", False),
        ("", "  average: none\n  average_decay: 0.99\n", True),
        ("  average: ema\n  average_decay: 0.9\n", "  average: ema\n  average_decay: 0.99\n", False),
        ("  optimizer: sgd\n", "  optimizer: sgd\n  epsilon: 0.1\n", True),
        ("  optimizer: rmsprop\n", "  optimizer: rmsprop\n  epsilon: 0.1\n", False),
        ("  frozen: []\n", "", True),
        ("  lr: 0.1\n", "  lr: 0.05\n", False),
    ],
)
def test_a_key_that_says_nothing_makes_no_other_plan(older: str, newer: str, same: bool) -> None:
    """As the run's own name has it (`config/compose.py`): records from before a key repeat those with it."""
    blocks = [f"recipe:\n  name: small\n{lines}  mixup_alpha: 0.0\ndata:\n  name: digits\n" for lines in (older, newer)]
    assert (recipe_settings(blocks[0]) == recipe_settings(blocks[1])) is same


def test_the_plan_in_the_trend_is_that_of_the_rule_and_never_the_cheaper_one() -> None:
    """Two runs of a dear plan stand before one of a cheap plan; asked for the cheapest, it says how many it saw."""
    dear = [trial(Made("resnet18", curve_reaching(9), seed=s)) for s in (0, 1)]
    cheap = trial(Made("resnet18", curve_reaching(4), planned_epochs=60))
    (group,) = group_runs([cheap, *dear])
    (used,), beside, notes = ladder(group)
    assert (len(used.runs), len(beside), len(notes)) == (2, 1, 1)
    assert "arbitrary" not in notes[0]
    (used,), beside, notes = ladder(group, cheapest_in="epochs")
    assert (used.runs, len(beside)) == ([cheap], 1)
    assert "plans looked at 2, architectures 1" in notes[-1]


def test_where_the_rule_leaves_two_plans_equal_a_note_says_that_the_choice_is_arbitrary() -> None:
    runs = [trial(Made("resnet18", curve_reaching(9), recipe=name)) for name in ("b", "a")]
    (group,) = group_runs(runs)
    _, _, (note,) = ladder(group)
    assert "the choice is arbitrary" in note


def test_a_declared_plan_stands_in_the_trend_whatever_the_rule_would_take() -> None:
    """One declared run of a short plan stands before three of a longer one that nobody declared."""
    many = [trial(Made("resnet18", curve_reaching(9), seed=s, planned_epochs=60)) for s in range(3)]
    ours = trial(Made("resnet18", curve_reaching(9), seed=7, declared=True))
    (group,) = group_runs([*many, ours])
    (used,), (beside,), (note,) = ladder(group)
    assert (used.runs, len(beside.runs)) == ([ours], 3)
    assert "the trend uses the declared one, recipe small, 30 epochs" in note
    (used,), _, (note,) = ladder(group_runs(many + [trial(Made("resnet18", curve_reaching(4)))])[0])
    assert used.runs == many
    assert "none is declared, and by recipe, number of runs and length the trend uses" in note


def test_where_two_plans_are_declared_the_rule_chooses_between_them_and_a_note_says_so() -> None:
    two = [trial(Made("resnet18", curve_reaching(9), planned_epochs=n, declared=True)) for n in (30, 60)]
    more = [trial(Made("resnet18", curve_reaching(9), seed=s, planned_epochs=90)) for s in range(3)]
    (used,), beside, (note,) = ladder(group_runs([*two, *more])[0])
    assert (used.runs, len(beside)) == ([two[1]], 2)
    assert "under 3 plans: 2 are declared, and by recipe" in note


def test_a_record_from_before_the_question_declares_nothing() -> None:
    made = Made("resnet18", curve_reaching(5))
    summary = summary_of(made, evaluations(made))
    del summary["declared"]
    assert run_of(Path("old"), summary, evaluations(made), settings="").declared is False
