"""The benchmarks measure what they say, and a machine without a GPU makes no GPU result."""

import argparse
import json
import re
import sys
from pathlib import Path

import pytest
import torch

from harness import models
from harness.measure.data.loader import decode
from harness.measure.data.store.manifest import open_manifest
from tests.bench import core, gpu, gpu_feed, images, loop, sweep


def test_rates_are_medians_over_rounds_beside_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [core.Row("a", lambda: core.Sample(10, 5, 1)), core.Row("b", lambda: core.Sample(40, 5, 2))]
    core.measure(rows, rounds=3)
    assert [row.rates for row in rows] == [[10.0] * 3, [20.0] * 3]  # one core: per CPU-second
    found = core.table("t", rows, "a", "x/s")
    assert [entry["ratio"] for entry in found] == [1.0, 2.0]
    assert "2.00" in capsys.readouterr().out


def test_two_cores_count_wall_seconds_and_a_failure_is_a_row() -> None:
    def fails() -> core.Sample:
        raise RuntimeError("no such peer")

    rows = [core.Row("a", lambda: core.Sample(10, 5, 1), cores=2), core.Row("b", fails)]
    core.measure(rows, rounds=1)
    assert rows[0].rates == [2.0]
    assert rows[1].failure == "RuntimeError: no such peer"
    assert "failure" in core.table("t", rows, "a", "x/s")[1]


def test_the_generated_photographs_are_like_imagenets() -> None:
    files = [images.encode(seed) for seed in range(4)]
    assert 60_000 < sum(map(len, files)) / 4 < 160_000  # ImageNet's mean is 110 KB
    for seed, data in enumerate(files):
        image, by_pillow = decode.Decoder("pillow").decode(data, "")
        assert tuple(image.shape[:2]) == images.SIZES[seed]
        assert not by_pillow
    assert files[0] == images.encode(0)


def test_the_tars_that_are_timed_hold_the_trees_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tree = images.make_tree(tmp_path / "tree", train_images=6, evaluation_images=4, classes=2)
    tars = open_manifest(images.as_official_tars(tree, tmp_path / "tars"))
    assert tars.kind == "ILSVRC 2012's official tars"
    assert tars.fingerprint == open_manifest(tree).fingerprint


@pytest.mark.parametrize("method", ["bare loop", "harness, everything on"])
def test_every_loop_trains_the_same_steps(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.ZOO, loop.TINY, loop.Tiny)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    feed = loop.Feed(steps=5, batch=4, side=8)
    loop.LOOPS[method][1](loop.TINY, feed)
    assert feed.sample().amount == 5
    assert len(feed.stamps) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_nothing_is_called_a_gpu_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def toy(args: argparse.Namespace, scratch: Path) -> list[dict[str, object]]:
        assert args.resolution == 64
        return []

    monkeypatch.setattr(gpu_feed, "measure", toy)
    monkeypatch.setattr(sys, "argv", ["gpu_feed", "--out", str(tmp_path / "out")])
    gpu_feed.main()
    assert capsys.readouterr().out.count("NOT A GPU RESULT") == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_the_step_of_a_gpu_is_measured_like_for_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both loops on one batch at toy size, with auxiliary heads; a network that fails is a row and an exit code."""
    command = ["gpu", "--models", "googlenet,absent", "--seconds", "0.01", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    out = capsys.readouterr().out
    assert ended.value.code == 1
    measured = next(row for row in out.splitlines() if row.startswith("googlenet"))
    _, *figures, joules = measured.replace("%", "").replace(",", "").split()
    assert len(figures) == 5
    assert min(map(float, figures)) > 0
    assert joules == "-", "no counter, no joules"
    assert re.search(r"^absent +BadInput", out, re.MULTILINE)
    assert out.count("NOT A GPU RESULT") == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--ways", "bare"], "at least one more"),
        (["--ways", "bare,bare"], "at least one more"),
        (["--ways", "harness,graphs"], "bare, then"),
        (["--ways", "bare,graphs,graphs"], "each once"),
        (["--ways", "bare,graphs", "--warm-up", "3"], "give more"),
    ],
)
def test_ways_that_compare_nothing_are_refused(
    words: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", *words])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_joules_have_a_median_only_where_every_round_counted_them() -> None:
    assert gpu.median_joules([3.0, 1.0, 2.0]) == 2.0
    assert gpu.median_joules([5.0, 3.0, float("nan")]) is None


def test_a_matrix_product_is_counted_as_two_flops_a_multiply_add(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: float(next(ticks)))  # every look is a second later
    assert gpu.ceiling(16, 1e-9, torch.device("cpu")) == 2 * 16**3


def test_a_composition_is_timed_run_by_run(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter((0.0, 1.0, 10.0, 16.0))
    monkeypatch.setattr(sweep.time, "perf_counter", lambda: next(ticks))
    assert sweep.composition(["model=alexnet,vgg11", "seed=0,1,2"]) == (1.0, 1.0)


def test_curves_are_compared_clocks_apart(tmp_path: Path) -> None:
    def written(name: str, **line: float) -> str:
        path = tmp_path / name
        path.write_text(json.dumps(line) + "\n")
        return core.without_clocks(path)

    once = written("once", step=1, loss=0.5, train_seconds=1.0)
    assert once == written("slower", step=1, loss=0.5, train_seconds=9.0)
    assert once != written("other", step=1, loss=0.6, train_seconds=1.0)
