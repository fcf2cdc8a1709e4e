"""What was counted before: used where all is as it was, counted again where anything is not."""

import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from harness import cli, models
from harness.measure.bill import cache
from harness.measure.bill.count import Bill, bill

NAME, SIDE = "squeezenet1_1", 64


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every real count."""
    seen: list[int] = []

    def counted(network: nn.Module, *, resolution: int) -> Bill:
        seen.append(resolution)
        return bill(network, resolution=resolution)

    monkeypatch.setattr(cache, "bill", counted)
    return seen


def ask(**changed: Any) -> Bill:
    return cache.bill_of(NAME, **({"kwargs": {}, "classes": 10, "resolution": SIDE} | changed))


def test_the_second_time_it_is_read(entries: Path, counts: list[int]) -> None:
    assert ask() == ask() == bill(models.build(NAME, classes=10), resolution=SIDE)
    assert counts == [SIDE]
    assert len(list(entries.iterdir())) == 1
    assert ask(fresh=True) == ask()
    assert counts == [SIDE, SIDE]


def test_anything_else_is_counted(entries: Path, counts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    ask()
    ask(classes=11)
    ask(resolution=96)
    ask(kwargs={"dropout": 0.1})
    monkeypatch.setattr(cache, "version", lambda package: "another")
    ask()
    monkeypatch.setattr(cache, "source", lambda: "another")
    ask()
    assert counts == [SIDE, SIDE, 96, SIDE, SIDE, SIDE]
    assert len(list(entries.iterdir())) == 6


def test_the_source_of_the_zoo_is_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "network.py").write_text("A = 1\n", encoding="utf-8")
    monkeypatch.setattr(cache, "ZOO_FOLDER", tmp_path)
    cache.source.cache_clear()
    before = cache.source()
    (tmp_path / "network.py").write_text("A = 2\n", encoding="utf-8")
    cache.source.cache_clear()
    assert cache.source() != before
    cache.source.cache_clear()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace('"forward_macs": ', '"forward_macs": 1'),
        lambda text: json.dumps({**json.loads(text), "under": {}}),
    ],
    ids=["empty", "cut off", "another document", "a number changed", "of something else"],
)
def test_a_wrong_entry_is_never_used(damage: Any, entries: Path, counts: list[int]) -> None:
    right = ask()
    (path,) = entries.iterdir()
    text = path.read_text(encoding="utf-8")
    assert damage(text) != text
    path.write_text(damage(text), encoding="utf-8")
    assert ask() == right
    assert len(counts) == 2
    assert ask() == right  # and it has been put right
    assert len(counts) == 2


def test_a_folder_that_cannot_be_written_to_is_no_cache(
    tmp_path: Path, counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file"))
    assert ask() == ask()
    assert len(counts) == 2


def test_a_network_from_elsewhere_is_always_counted(
    entries: Path, counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class that a notebook put into the zoo: nothing says when it changes."""

    class Mine(nn.Sequential):
        def __init__(self, num_classes: int) -> None:
            super().__init__(nn.Conv2d(3, num_classes, 1))

    monkeypatch.setitem(models.ZOO, "mine", Mine)
    cache.bill_of("mine", kwargs={}, classes=3, resolution=8)
    cache.bill_of("mine", kwargs={}, classes=3, resolution=8)
    assert counts == [8, 8]
    assert list(entries.iterdir()) == []


def test_count_uses_it_unless_told_not_to(entries: Path, counts: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["count", NAME, "--resolution", str(SIDE), "--json"]
    printed = []
    for more in ([], [], ["--no-cache"]):
        assert cli.main([*words, *more]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == printed[2]
    assert counts == [SIDE, SIDE]
