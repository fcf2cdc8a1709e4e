"""What gradient checkpoints compute again stands beside the bill: the lines of training are the same without them."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential, set_checkpoint_early_stop

from harness import cli, models
from harness.measure.bill.count import bill
from harness.measure.config.schema import Config
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run
from harness.record.errors import UncountedOperator
from harness.record.folders.folder import read_run
from tests.measure.bill.dispatched import step
from tests.measure.bill.test_flops_operators import Apply, after_stem


class Checkpointed(nn.Module):
    """A part whose features are thrown away and computed again; without `how` it is the part alone."""

    def __init__(self, part: nn.Module, **how: bool) -> None:
        super().__init__()
        self.part, self.how = part, how

    def forward(self, features: Tensor) -> Any:
        return checkpoint(self.part, features, **self.how) if self.how else self.part(features)


class InChunks(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Any:
        return checkpoint_sequential(self.layers, 2, features, use_reentrant=False)


# on a 6 x 6 map: 4 filters of 8 x 3 x 3 with padding 1, then 8 filters of 4 x 1 x 1
WIDE, NARROW = 4 * 72 * 36, 8 * 4 * 36


def wide() -> nn.Conv2d:
    return nn.Conv2d(8, 4, 3, padding=1)


def narrow() -> nn.Conv2d:
    return nn.Conv2d(4, 8, 1)


Make = Callable[[], nn.Module]
PARTS: dict[str, tuple[Make, int]] = {
    # the last ReLU keeps its result, so all before it is computed again
    "all of it": (lambda: nn.Sequential(wide(), nn.ReLU(), narrow(), nn.ReLU()), WIDE + NARROW),
    # nothing needs the result of the last product: torch stops before it
    "early stop": (lambda: nn.Sequential(wide(), nn.ReLU(), narrow()), WIDE),
    "one product": (wide, 0),
    # BatchNorm keeps its input, in train mode and in eval mode
    "before BatchNorm": (lambda: nn.Sequential(wide(), nn.BatchNorm2d(4)), WIDE),
    "a frozen product": (lambda: nn.Sequential(wide().requires_grad_(False), nn.ReLU(), narrow()), WIDE),
    "no product": (nn.ReLU, 0),
}


def network(part: nn.Module, **how: bool) -> nn.Module:
    return after_stem(Checkpointed(part, **how), nn.ReLU())


@pytest.mark.parametrize(("part", "again"), PARTS.values(), ids=PARTS.keys())
def test_training_costs_the_same_and_the_rest_stands_apart(part: Make, again: int) -> None:
    found, plain = bill(network(part(), use_reentrant=False), resolution=6), bill(network(part()), resolution=6)
    assert (found.recomputed_macs, plain.recomputed_macs) == (again, 0)
    assert (found.activation_bytes < plain.activation_bytes) == (again > 0)  # which is what they are for
    assert replace(found, recomputed_macs=0, activation_bytes=plain.activation_bytes) == plain


@pytest.mark.parametrize("images", [1, 2, 8])
@pytest.mark.parametrize(
    "make",
    [
        lambda: network(nn.Sequential(wide(), nn.ReLU(), narrow(), nn.ReLU()), use_reentrant=False),
        lambda: network(Checkpointed(nn.Sequential(wide(), nn.ReLU()), use_reentrant=False), use_reentrant=False),
        lambda: after_stem(InChunks(wide(), nn.ReLU(), narrow(), nn.ReLU())),
        lambda: after_stem(
            nn.Flatten(2),
            Checkpointed(nn.TransformerEncoderLayer(36, 4, 72, batch_first=True), use_reentrant=False),
        ),
    ],
    ids=["part", "nested", "chunks", "transformer layer"],
)
def test_a_step_spends_both(make: Callable[[], nn.Module], images: int) -> None:
    """Torch's counter sees in the backward pass what the bill calls backward and what it calls computed again."""
    found, second = bill(make(), resolution=6), step(make(), torch.rand(images, 3, 6, 6))
    assert found.recomputed_macs
    assert images * found.forward_macs == second.forward
    assert images * (found.backward_macs + found.recomputed_macs) == second.backward


def test_without_early_stop_all_is_computed_again() -> None:
    with set_checkpoint_early_stop(False):
        found = bill(network(nn.Sequential(wide(), nn.ReLU(), narrow()), use_reentrant=False), resolution=6)
    assert found.recomputed_macs == WIDE + NARROW


def test_what_torchs_counter_does_not_know_is_unknown_not_zero() -> None:
    """mv: 4 * 36 products with a vector of 8, of which that counter says 0."""

    def scores(features: Tensor, vector: Tensor) -> Tensor:
        return torch.mv(features.flatten(2).mT.flatten(0, 1), vector).view(len(features), 36).relu()

    found = bill(after_stem(Checkpointed(Apply(scores, (8,)), use_reentrant=False)), resolution=6)
    assert found.recomputed_macs is None
    assert found.forward_macs == 8 * 3 * 36 + 8 * 36


@pytest.mark.parametrize("part", [part for part, _ in PARTS.values()], ids=PARTS.keys())
def test_a_reentrant_one_is_refused_with_what_to_do(part: Make) -> None:
    with pytest.raises(UncountedOperator, match="use_reentrant=False") as refused:
        bill(network(part(), use_reentrant=True), resolution=6)
    assert "\n" not in str(refused.value)


class Classifier(nn.Module):
    """A checkpointed part between a stem and a head."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        part = nn.Sequential(wide(), nn.ReLU(), narrow(), nn.ReLU())
        self.features = network(part, use_reentrant=False)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))

    def forward(self, images: Tensor) -> Any:
        return self.head(self.features(images))


def test_a_record_says_it_and_check_counts_it_again(
    tiny_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(models.ZOO, "tiny", Classifier)
    config = tiny_config()
    side = config.data.resolution
    folder = run(config, overrides=[], stop=StopFlag()).folder
    record = read_run(folder)
    assert record.summary["bill"]["recomputed_macs"] == (WIDE + NARROW) * side * side // 36
    last = record.curve[-1]
    assert last.train_forward_macs == last.images * record.summary["bill"]["forward_macs"]
    assert cli.main(["check", str(folder)]) == 0
    assert "1 record with gradient checkpoints" in capsys.readouterr().err


def test_count_says_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(models.ZOO, "alexnet", Classifier)
    assert cli.main(["count", "alexnet", "--resolution", "60", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["recomputed_macs"] == 100 * (WIDE + NARROW)
    assert cli.main(["count", "alexnet", "--resolution", "60"]) == 0
    assert "alexnet: its gradient checkpoints compute 0.0012 GMAC an image again" in capsys.readouterr().out
