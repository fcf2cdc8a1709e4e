"""The crossing over planted sequences of looks, and when a run that watches them may stop."""

from dataclasses import dataclass

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.paths import CONF
from harness.record.errors import BadInput
from harness.record.protocol import CONFIRM
from harness.record.target import Target, all_confirmed, complete, crossing, crossing_of, unconfirmed


@dataclass(frozen=True)
class Seen:
    """A look at 1,000 images."""

    top1: int
    top5: int | None = 0
    total: int = 1000

    def judged(self, metric: str) -> bool:
        return metric == "top1" or self.top5 is not None

    def correct(self, metric: str) -> int:
        found = self.top1 if metric == "top1" else self.top5
        assert found is not None
        return found


def looks(*accuracies: float, top5: tuple[float, ...] = ()) -> list[Seen]:
    fives = top5 or (0.0,) * len(accuracies)
    return [Seen(round(1000 * one), round(1000 * five)) for one, five in zip(accuracies, fives, strict=True)]


def target(**changes: object) -> Target:
    fields = {"metric": "top1", "value": 0.5, "split": "validation", "evaluations_per_epoch": 1, "source": "planted"}
    return Target(**(fields | {"confirm": 2} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "accuracies", "first", "confirmed"),
    [
        ("the first crossing is false", (0.2, 0.6, 0.4, 0.5, 0.6), 1, 3),
        ("the last look is the first above", (0.2, 0.3, 0.6), 2, None),
        ("exactly at equality", (0.499, 0.5, 0.5), 1, 1),
        ("never", (0.1, 0.2, 0.499), None, None),
        ("at the first look", (0.5, 0.7), 0, 0),
        ("above and below in turn", (0.6, 0.4, 0.6, 0.4), 0, None),
        ("no look at all", (), None, None),
    ],
)
def test_planted_curves(name: str, accuracies: tuple[float, ...], first: int | None, confirmed: int | None) -> None:
    seen = looks(*accuracies)
    assert crossing_of(seen, "top1", 0.5, 1) == first, name
    assert crossing_of(seen, "top1", 0.5, 2) == confirmed, name
    assert complete(seen, target()) == (confirmed is not None)


@given(st.lists(st.booleans(), max_size=12), st.integers(1, 4))
def test_the_crossing_is_the_first_window_that_is_all_above(above: list[bool], confirm: int) -> None:
    windows = [all(above[start : start + confirm]) for start in range(len(above) - confirm + 1)]
    assert crossing(above, confirm) == (windows.index(True) if True in windows else None)


def test_a_last_look_above_is_marked_unconfirmed_and_no_other_is() -> None:
    assert unconfirmed(looks(0.2, 0.6), target()) == ["top1"]
    assert unconfirmed(looks(0.2, 0.6, 0.4), target()) == []
    assert unconfirmed(looks(0.2, 0.6, 0.6), target()) == []
    assert unconfirmed(looks(0.6, 0.6, 0.4, 0.6), target()) == []  # confirmed long ago
    assert unconfirmed(looks(), target()) == []
    assert unconfirmed(looks(0.6), target(confirm=1)) == []


def test_past_evaluations_count_from_the_look_that_confirms() -> None:
    asked = target(past_evaluations=2)
    stops = [complete(looks(*([0.2] + [0.6] * above)), asked) for above in range(6)]
    assert stops == [False, False, False, False, True, True]
    assert all_confirmed(looks(0.2, 0.6, 0.6), asked)  # the plan may end before they are made


def test_a_run_that_watches_two_metrics_stops_when_both_are_confirmed() -> None:
    both = target(also=(("top5", 0.9),))
    seen = looks(0.5, 0.6, 0.4, 0.4, top5=(0.8, 0.8, 0.9, 0.95))
    assert [complete(seen[:n], both) for n in range(5)] == [False, False, False, False, True]
    assert [(t.metric, t.value, t.also, t.confirm) for t in both.each()] == [("top1", 0.5, (), 2), ("top5", 0.9, (), 2)]
    assert unconfirmed(seen[:3], both) == ["top5"]


def test_a_target_survives_the_record_and_one_of_protocol_1_had_the_studys_rule() -> None:
    asked = target(past_evaluations=3, also=(("top5", 0.9),))
    assert Target.from_dict(asked.as_dict()) == asked
    assert asked.as_dict()["also"] == {"top5": 0.9}
    old = {"metric": "top1", "value": 0.797, "split": "validation", "evaluations_per_epoch": 4, "source": "median"}
    assert Target.from_dict(old) == Target(**old, confirm=1, past_evaluations=0, also=())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"confirm": 0}, "target.confirm is 0"),
        ({"confirm": True}, "target.confirm is True"),
        ({"past_evaluations": -1}, "target.past_evaluations is -1"),
        ({"also": (("top5", 79.1),)}, r"did you mean 0\.791"),
        ({"also": (("top1", 0.6),)}, "each metric one level"),
        ({"also": (("top3", 0.6),)}, "top1, top5"),
    ],
)
def test_a_target_that_cannot_be_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        target(**changes)


@pytest.mark.parametrize(
    ("changes", "classes", "chance"),
    [
        ({"value": 0.1}, 10, "0.1"),
        ({"value": 0.05}, 10, "0.1"),
        ({"metric": "top5", "value": 0.791}, 5, "1"),
        ({"metric": "top5", "value": 1.0}, 3, "1"),
        ({"metric": "top5", "value": 0.5}, 10, "0.5"),
        ({"value": 0.9, "also": (("top5", 0.9),)}, 4, "1"),
        ({"value": 1.0}, 1, "1"),
    ],
)
def test_a_level_that_guessing_reaches_says_nothing(changes: dict[str, object], classes: int, chance: str) -> None:
    with pytest.raises(BadInput, match=f"guessing among {classes} classes reaches {chance};"):
        target(**changes).says_something(classes)
    target(value=0.56522).says_something(1000)


def test_a_look_that_was_not_judged_by_the_metric_says_nothing_of_it() -> None:
    seen = [Seen(900, top5) for top5 in (400, 600, None, 600, None)]
    assert crossing_of(seen, "top5", 0.5, 2) == 1  # the look after next is the next that was judged
    assert crossing_of(seen[:3], "top5", 0.5, 2) is None
    assert unconfirmed(seen[:2], target(metric="top5")) == ["top5"]
    assert unconfirmed(seen[:3], target(metric="top5")) == []


def test_the_rule_of_the_config_is_the_protocols() -> None:
    assert yaml.safe_load((CONF / "rule.yaml").read_text())["confirm"] == CONFIRM
