"""The view of many runs: its width, what it tells of the whole, plain lines where there is no terminal."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from harness.record.folders.survey import Status
from harness.verbs.view import View, accuracy, seconds_left, table, whole

RUNNING = Status(
    model="shufflenet_v2_x1_0",
    seed=2,
    state="running",
    epoch=2.5,
    planned_epochs=10,
    top1=0.781,
    metric="top1",
    accuracy=0.781,
    target=0.797,
    images_per_second=12345.6,
    train_forward_macs=3 * 10**15,
    seconds=100.0,
    job="123456_47",
    note="pending (Resources)",
    folder="/runs/a",
)
WAITING = replace(
    RUNNING,
    state="waiting",
    epoch=None,
    accuracy=None,
    images_per_second=None,
    train_forward_macs=None,
    seconds=None,
    seed=3,
    folder="/runs/b",
    note="",
)
FAILED = replace(RUNNING, state="failed", note="ValueError: [red]no[/red]", seed=4, folder="/runs/c")


def drawn(width: int, lines: list[Status], height: int = 24) -> str:
    """What a terminal of this size shows last."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system=None, width=width, height=height, highlight=False)
    with View(console) as view:
        view.show(lines, at_once=2)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_everything_fits_the_terminal(width: int) -> None:
    text = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", drawn(width, [RUNNING, WAITING, FAILED]))
    assert max(map(len, text.splitlines())) <= width
    for words in (
        "shufflenet_v2_x1_0",
        "2.5/10",
        "top-1 78.10 of 79.70",
        "12,346",
        "3 runs: ",
        "18 PFLOP spent",
        "left",
    ):
        assert words in text, words
    assert "…" not in text


def test_what_goes_on_is_shown_first_where_the_screen_is_small() -> None:
    text = drawn(80, [*(replace(WAITING, seed=seed) for seed in range(40)), RUNNING], height=10)
    assert "running" in text
    assert "and 35 more" in text


def test_time_left_is_by_the_pace_measured_so_far() -> None:
    assert seconds_left([RUNNING]) == 300
    assert seconds_left([RUNNING, WAITING], 1) == 700
    assert seconds_left([RUNNING, WAITING], 2) == 400  # the waiting one alone needs as long
    assert seconds_left([RUNNING, replace(WAITING, model="other")], 1) == 700
    assert seconds_left([WAITING]) is None
    assert "at most 12 min left" in whole([RUNNING, WAITING], 1)


def test_without_a_terminal_a_line_for_every_news() -> None:
    file = io.StringIO()
    view = View(Console(file=file, width=80))
    view.show([RUNNING, WAITING])
    view.show([replace(RUNNING, images_per_second=1.0, epoch=2.6), WAITING])  # nothing new was measured
    view.show([replace(RUNNING, accuracy=0.8, epoch=3.0), FAILED])
    first, second, third = file.getvalue().splitlines()
    assert "epoch 2.5/10" in first
    assert "top-1 80.00 of 79.70" in second
    assert third.startswith("shufflenet_v2_x1_0 seed 4: failed")
    assert "[red]" in third


def test_accuracy_is_of_the_metric_that_decides() -> None:
    assert accuracy(replace(RUNNING, metric="top5", target=None)) == "top-5 78.10"
    assert accuracy(WAITING) == ""


def test_the_table_for_status_tells_the_job_and_the_note() -> None:
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(table([FAILED]))
    text = console.export_text()
    assert "123456_47" in text
    assert "[red]no[/red]" in text
