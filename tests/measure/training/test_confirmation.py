"""A run stops once its crossing is confirmed; killed between the two, it ends as one never killed."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from harness import models
from harness.analyse.evidence.check import check_record
from harness.measure.config.compose import run_folder
from harness.measure.config.schema import Config
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run
from harness.measure.stages.ending import Result
from harness.record.curve import TIMING_FIELDS
from harness.record.errors import BadInput
from harness.record.folders.folder import read_run
from harness.record.target import crossing_of
from tests.measure import faults
from tests.measure.faults import STATEFUL, Fault, Order
from tests.ports import free_ports, meeting

MakeConfig = Callable[..., Config]


def measure(config: Config) -> Result:
    return run(config, overrides=[], stop=StopFlag())


def accuracies(folder: Path, metric: str = "top1") -> list[float]:
    return [row.correct(metric) / row.total for row in read_run(folder).curve]


@pytest.fixture
def full(tiny_config: MakeConfig, tmp_path: Path) -> list[float]:
    """The accuracies of six looks of a run without a target: those of every run below, as far as it goes."""
    return accuracies(
        measure(tiny_config("budget.epochs=3", "evaluations_per_epoch=2", f"out={tmp_path / 'f'}")).folder
    )


def test_it_stops_at_the_look_that_confirms(tiny_config: MakeConfig, full: list[float]) -> None:
    level = min(full[1:3])
    plan = ("budget.epochs=3", "evaluations_per_epoch=2", "target.metric=top1", f"target.value={level}")
    stops = {}
    for confirm, past in ((1, 0), (2, 0), (3, 0), (2, 2)):
        made = read_run(
            measure(tiny_config(*plan, f"target.confirm={confirm}", f"target.past_evaluations={past}")).folder
        )
        at = crossing_of(made.curve, "top1", level, confirm)
        assert at is not None
        assert (made.outcome, made.summary["unconfirmed"]) == ("reached", [])
        assert [row.correct_top1 / row.total for row in made.curve] == full[: len(made.curve)]
        assert len(made.curve) == at + confirm + past
        assert made.summary["totals"]["evaluation_macs"] == made.curve[-1].evaluation_macs  # all of it is on the ledger
        assert check_record(made.path, None) == []
        stops[confirm, past] = len(made.curve)
    assert stops[2, 2] == stops[2, 0] + 2


def test_a_last_look_that_is_the_first_above_is_a_miss_and_marked(tiny_config: MakeConfig, tmp_path: Path) -> None:
    slow = "recipe.lr=0.003"  # so slow that it still rises at the end of its plan
    before, last = accuracies(measure(tiny_config(slow, f"out={tmp_path / 'full'}")).folder)
    assert before < last
    asked = (slow, "target.metric=top1", f"target.value={last}")
    made = read_run(measure(tiny_config(*asked)).folder)
    assert (made.outcome, made.summary["unconfirmed"]) == ("budget_exhausted", ["top1"])
    assert check_record(made.path, None) == []
    assert read_run(measure(tiny_config(*asked, "target.confirm=1")).folder).outcome == "reached"  # the study's rule


def test_two_metrics_are_watched_until_both_are_confirmed(tiny_config: MakeConfig, full: list[float]) -> None:
    plan = ("evaluations_per_epoch=2", "budget.epochs=3", "target.metric=top5", "target.value=0.55")
    made = read_run(measure(tiny_config(*plan, f"target.also.top1={min(full[2:4])}")).folder)
    found = [crossing_of(made.curve, *level, 2) for level in made.target.levels]
    assert made.outcome == "reached"
    assert None not in found
    assert len(made.curve) == max(found) + 2
    assert len(made.curve) > found[0] + 2  # top-5 alone would have stopped earlier


def test_the_progress_line_says_what_is_still_to_be_confirmed(
    tiny_config: MakeConfig, full: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = ("evaluations_per_epoch=2", "budget.epochs=3", "target.metric=top1", f"target.value={min(full[2:4])}")
    measure(tiny_config(*plan))
    said = capsys.readouterr().err
    assert re.search(r"top-1 at \d+\.\d %, to be confirmed", said)
    assert re.search(r"epoch 0\.5/3 ", said)
    assert re.search(r"top-1 \S+% of \S+%, confirmed", said)


@dataclass(frozen=True)
class Undisturbed:
    """A run of one rank or two that nothing disturbed, and what makes its like."""

    root: Path
    ranks: int
    words: tuple[str, ...] = ()

    def train(self, attempt: str, fault: Fault | None = None) -> list[int]:
        """The exit codes; the record below `attempt`, up to its first dash. The fault strikes rank 0."""
        orders = [
            Order(
                [*STATEFUL, f"out={self.root / attempt.partition('-')[0]}", *self.words],
                self.root / f"notes-{attempt}",
                fault if rank == 0 else None,
                environment,
            )
            for rank, environment in enumerate([{}] if self.ranks == 1 else meeting(*free_ports(1)))
        ]
        return faults.perform_together(orders)

    def folder(self, attempt: str) -> Path:
        """The run folder."""
        (found,) = (self.root / attempt / "fake" / "net").iterdir()
        return found

    def left(self, attempt: str) -> list[object]:
        """What must not depend on interruptions: the curve, the weights, how it ended."""
        made = read_run(self.folder(attempt.partition("-")[0]))
        rows = [json.loads(line) for line in (made.path / "curve.jsonl").read_text().splitlines()]
        untimed = [{k: v for k, v in row.items() if k not in (*TIMING_FIELDS, "lost_macs")} for row in rows]
        weights = [(self.root / f"notes-{attempt}" / f"weights{rank}").read_text() for rank in range(self.ranks)]
        return [untimed, weights, made.outcome, made.summary["unconfirmed"]]


@pytest.fixture(scope="module", params=[1, 2], ids=["one rank", "two ranks"])
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    plan = Undisturbed(tmp_path_factory.mktemp("undisturbed"), request.param)
    assert plan.train("plan") == [0] * plan.ranks
    level = sorted(accuracies(plan.folder("plan")))[2]  # three looks at most lie below it
    words = ("target.metric=top1", f"target.value={level}", "target.past_evaluations=1")
    made = replace(plan, words=words)
    assert made.train("whole") == [0] * made.ranks
    return made


@pytest.mark.parametrize("after", ["curve ends", "replacing checkpoint.pt ends", "step begins"])
def test_killed_between_crossing_and_confirmation(undisturbed: Undisturbed, after: str) -> None:
    whole = read_run(undisturbed.folder("whole"))
    at = crossing_of(whole.curve, "top1", whole.target.value, 2)
    assert at is not None
    told = (undisturbed.root / "notes-whole" / "trace0").read_text().splitlines()
    crossed = [number for number, event in enumerate(told) if event == "curve ends"][at]
    kill = next(number for number in range(crossed, len(told)) if told[number] == after)
    cut = f"cut {after}"
    assert undisturbed.train(f"{cut}-killed", Fault(kill, faults.sigkill))[0] == -9
    assert undisturbed.train(f"{cut}-resumed") == [0] * undisturbed.ranks
    assert undisturbed.left(f"{cut}-resumed") == undisturbed.left("whole")


def test_a_calibration_run_is_marked_and_stops_at_no_level(tiny_config: MakeConfig) -> None:
    plain, marked = tiny_config(), tiny_config("calibration=true")
    made = read_run(measure(marked).folder)
    assert (made.summary["kind"], made.outcome, made.target) == ("calibration", "budget_exhausted", None)
    assert check_record(made.path, None) == []
    assert measure(plain).folder != made.path  # the same training, another record: it may give a cost
    with pytest.raises(BadInput, match="add target=none"):
        tiny_config("calibration=true", "target=fake")


def test_a_declared_plan_is_the_same_run_and_its_record_says_so(tiny_config: MakeConfig) -> None:
    ours = tiny_config("declared=true")
    assert run_folder(ours) == run_folder(tiny_config())
    assert read_run(measure(ours).folder).summary["declared"] is True


@pytest.mark.parametrize(
    ("words", "classes", "says"),
    [
        (("target=fake", "target.value=0.1"), None, "guessing among 10 classes reaches 0.1;"),
        (("target=paper_top5",), 5, "guessing among 5 classes reaches 1;"),
        (("target=fake",), 1, "one class is no question"),
        (("target=none",), 1, "one class is no question"),
        (("target=fake", "target.also.top5=0.5"), None, "guessing among 10 classes reaches 0.5;"),
    ],
)
def test_a_level_that_says_nothing_is_refused_before_anything_is_written(
    tiny_config: MakeConfig, words: tuple[str, ...], classes: int | None, says: str
) -> None:
    config = tiny_config("data=digits", *words, *(() if classes is None else (f"data.classes={classes}",)))
    with pytest.raises(BadInput, match=says):
        measure(config)
    assert not Path(config.out).exists()


def test_outputs_that_are_not_finite_are_divergence(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Breaks(torch.nn.Module):
        """Trains soundly and answers NaN when it is asked."""

        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.head = torch.nn.Linear(3 * 16 * 16, num_classes)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(images.flatten(1))
            return logits if self.training else logits * float("nan")

    monkeypatch.setitem(models.ZOO, "tiny", Breaks)
    result = measure(tiny_config("target.metric=top5", "target.value=0.55"))
    assert (result.outcome, result.exit_code) == ("diverged", 3)
    made = read_run(result.folder)
    assert made.curve == []
    assert made.summary["diverged_at_step"] == 8
    assert made.summary["totals"]["evaluation_macs"] > 0  # what was spent is on the bill
    assert "outputs in an evaluation are not finite at step 8" in capsys.readouterr().err
