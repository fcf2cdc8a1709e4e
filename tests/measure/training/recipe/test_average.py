"""The weight average against its rule worked out apart, and what a run that averages leaves in its record."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from harness.measure.config.compose import compose, recorded, run_id, semantic
from harness.measure.config.schema import Config
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run
from harness.measure.training import loop
from harness.measure.training.recipe.average import average_decay, build_average
from harness.paths import ROOT
from harness.record.folders.folder import read_run


def by_hand(history: list[np.ndarray[Any, Any]], cap: float | None) -> np.ndarray[Any, Any]:
    """TensorFlow's rule in float64: shadow -= (1 - min(cap, (1 + t) / (10 + t))) * (shadow - variable)."""
    shadow = history[0].copy()
    for t, variable in enumerate(history[1:], start=1):
        decay = (1 + t) / (10 + t)
        if cap is not None and cap < decay:
            decay = cap
        shadow -= (1 - decay) * (shadow - variable)
    return shadow


@pytest.mark.parametrize("cap", [None, 0.9999, 0.5])
def test_weights_and_buffers_follow_tensorflows_rule(cap: float | None) -> None:
    decay = "null" if cap is None else cap
    recipe = compose(["recipe=small", "recipe.average=ema", f"recipe.average_decay={decay}"]).recipe
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    average = build_average(net, recipe)
    assert average is not None
    seen: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in net.state_dict()}
    for _ in range(60):
        net(3 * torch.randn(8, 3, dtype=torch.float64) + 1)  # moves BatchNorm's statistics
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        average.update_parameters(net)
        for name, tensor in net.state_dict().items():
            seen[name].append(tensor.numpy().copy())
    for name, tensor in average.module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert int(tensor) == 60
        else:
            np.testing.assert_allclose(tensor.numpy(), by_hand(seen[name], cap), rtol=1e-12, err_msg=name)


def test_the_first_weights_are_soon_forgotten() -> None:
    """Their share after four epochs of 313 steps: 88 % without a warm-up, nothing with it, capped or not."""
    for cap in (0.9999, None):
        share = 1.0
        for t in range(1, 4 * 313):
            share *= average_decay(t, cap)
        assert share < 1e-20
    assert pytest.approx(0.88, abs=0.01) == 0.9999 ** (4 * 313)


def test_a_capless_average_runs_over_the_last_ninth() -> None:
    """The weight of step s among n falls as (s / n)^8: its mean age is a tenth of the length, whatever the length."""
    for n in (1_000, 10_000):
        share, age = 1.0, 0.0
        for t in range(n, 0, -1):
            age += (n - t) * share * (1 - average_decay(t, None))
            share *= average_decay(t, None)
        assert age / n == pytest.approx(0.1, rel=0.02)


def test_the_curve_holds_the_live_weights_too(
    tiny_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are judged at every evaluation; the headline counts are the average's, and the record says which rule."""
    watched: list[loop.Counts] = []
    judged: list[bool] = []
    original = loop.evaluate

    def watch(network: nn.Module, *args: Any, **kwargs: Any) -> loop.Counts:
        watched.append(original(network, *args, **kwargs))
        judged.append(isinstance(network, torch.optim.swa_utils.AveragedModel))
        return watched[-1]

    monkeypatch.setattr(loop, "evaluate", watch)
    config = tiny_config("recipe=anytime", "recipe.lr=0.05", "evaluations_per_epoch=2")
    done = read_run(run(config, overrides=[], stop=StopFlag()).folder)
    assert judged == [True, False] * 4
    for row, average, live in zip(done.curve, watched[::2], watched[1::2], strict=True):
        assert (row.correct_top1, row.correct_top5) == (average.correct_top1, average.correct_top5)
        assert (row.live_correct_top1, row.live_correct_top5) == (live.correct_top1, live.correct_top5)
    assert any(row.correct_top1 != row.live_correct_top1 for row in done.curve)
    assert "average: ema\n  average_decay: null\n" in (done.path / "config.yaml").read_text()
    plain = read_run(run(tiny_config(), overrides=[], stop=StopFlag()).folder)
    assert "live_correct_top1" not in json.loads((plain.path / "curve.jsonl").read_text().splitlines()[0])


def test_anytime_has_no_plan_in_it() -> None:
    """A constant rate, the average without a cap; the card gives the rate."""
    rates = {"alexnet": 0.01, "resnet18": 0.01, "shufflenet_v2_x1_0": 0.03, "mobilenet_v2": 0.01}
    for name, lr in rates.items():
        recipe = compose([f"model={name}", "recipe=anytime"]).recipe
        assert (recipe.lr, recipe.schedule, recipe.average, recipe.average_decay) == (lr, "constant", "ema", None)
        assert (recipe.batch_size, recipe.train_transform, recipe.flip) == (32, "random_crop", True)


def test_a_run_without_average_keeps_its_name_and_one_with_another_has_another() -> None:
    """Its identity says of the recipe what a committed record says, which was written before averages had names."""
    record = min((ROOT / "results/runs/fashion_mnist_protocol1/resnet34").glob("*/config.yaml"))
    ladder = compose(["+experiment=fashion_ladder", "model=resnet34"])
    assert semantic(ladder)["recipe"] == yaml.safe_load(record.read_text())["recipe"]
    assert "average: none" in recorded(ladder)
    ids = {run_id(compose(["recipe.average=ema", f"recipe.average_decay={cap}"])) for cap in ("0.9", "0.99", "null")}
    assert len(ids | {run_id(compose([]))}) == 4
