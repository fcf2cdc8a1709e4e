"""Networks as people build them: at batch 1, 2 and 8 the bill is what torch's own counter finds under a whole step.

And those whose cost is not one number, or not shown, are refused with the reason.
"""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from harness.measure.bill.count import bill
from harness.measure.bill.phases import Bills
from harness.measure.bill.refusals import refuse_untrainable
from harness.record.errors import BadInput, UncountedOperator
from tests.measure.bill.dispatched import step
from tests.measure.bill.test_flops_operators import Apply, after_stem

BATCHES = (1, 2, 8)


class LowRank(nn.Module):
    """w + b @ a: the sum is made once a pass, whatever the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.a, self.b = (nn.Parameter(torch.zeros(shape)) for shape in ((8, 288), (4, 288), (8, 4)))

    def forward(self, features: Tensor) -> Tensor:
        return functional.linear(features.flatten(1), self.w + self.b @ self.a)


class Mixture(nn.Module):
    """All experts see everything, and a gate weighs them."""

    def __init__(self) -> None:
        super().__init__()
        self.experts, self.gate = nn.Parameter(torch.zeros(4, 36, 20)), nn.Linear(36, 4)

    def forward(self, features: Tensor) -> Tensor:
        tokens = features.flatten(2)
        every = torch.einsum("ecd,ntc->netd", self.experts, tokens)
        return torch.einsum("netd,nte->ntd", every, self.gate(tokens).softmax(-1))


class Tied(nn.Module):
    """One layer, called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(self.layer(self.layer(features).relu()).relu())


class Squeezed(nn.Module):
    """Squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1))

    def forward(self, features: Tensor) -> Tensor:
        return features * self.gate(features).sigmoid()


class Dropped(nn.Module):
    """Stochastic depth by a mask: the path is fixed, the layer is always computed."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(8, 8, 1)

    def forward(self, features: Tensor) -> Tensor:
        keep = torch.rand(len(features), 1, 1, 1, device=features.device) < 0.5
        return features + keep * self.layer(features)


class Normalised(nn.Module):
    """Attention over the positions, with queries and keys of length one."""

    def __init__(self) -> None:
        super().__init__()
        self.packed = nn.Linear(8, 24)

    def forward(self, features: Tensor) -> Tensor:
        query, key, value = self.packed(features.flatten(2).transpose(1, 2)).chunk(3, -1)
        scores = functional.normalize(query, dim=-1) @ functional.normalize(key, dim=-1).mT
        return scores.softmax(-1) @ value


class OtherInEvaluation(nn.Module):
    """Trains two layers, judges with one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3)

    def forward(self, features: Tensor) -> Tensor:
        return self.second(self.first(features)) if self.training else self.first(features)


def standardised(features: Tensor, weight: Tensor) -> Tensor:
    """A convolution whose weight is standardised at every pass, without a product."""
    mean, deviation = weight.mean((1, 2, 3), keepdim=True), weight.std((1, 2, 3), keepdim=True)
    return functional.conv2d(features, (weight - mean) / (deviation + 1e-5))


CONSTRUCTIONS: dict[str, Callable[[], nn.Module]] = {
    "low rank": LowRank,
    "mixture of experts": Mixture,
    "one layer three times": Tied,
    "squeeze and excitation": Squeezed,
    "stochastic depth by a mask": Dropped,
    "attention with normalised queries": Normalised,
    "another path in evaluation": OtherInEvaluation,
    "standardised weights": lambda: Apply(standardised, (4, 8, 3, 3)),
    "grouped and transposed": lambda: nn.Sequential(
        nn.Conv2d(8, 16, 3, groups=4), nn.ConvTranspose2d(16, 8, 2, groups=2)
    ),
    "normalised weights": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 4, 3)),
    "an LSTM over rows": lambda: nn.Sequential(nn.Flatten(2), nn.LSTM(36, 4, batch_first=True)),
    "a transformer layer": lambda: nn.Sequential(
        nn.Flatten(2), nn.TransformerEncoderLayer(36, 4, 72, batch_first=True, norm_first=True)
    ),
    "experts of the first image": lambda: Apply(
        lambda x, w: torch.einsum("ecd,enc->end", w, x[:1].flatten(2).mT), (4, 8, 16)
    ),
    "positions from a table": lambda: Apply(lambda x, table, w: x.flatten(2) + (table @ w).sin(), (8, 5), (5, 36)),
}


@pytest.mark.parametrize("construction", CONSTRUCTIONS.values(), ids=CONSTRUCTIONS.keys())
@pytest.mark.parametrize("frozen_stem", [False, True], ids=["", "frozen stem"])
def test_at_every_batch(construction: Callable[[], nn.Module], frozen_stem: bool) -> None:
    network = after_stem(construction())
    network[0].requires_grad_(not frozen_stem)
    found = bill(network, resolution=6)
    shapes = network.to("meta")
    for images in BATCHES:
        second = step(shapes, torch.empty(images, 3, 6, 6, device="meta"))
        assert images * found.forward_macs + found.once_forward_macs == second.forward
        assert images * found.backward_macs + found.once_macs - found.once_forward_macs == second.backward
        assert images * found.evaluation_macs + found.once_evaluation_macs == second.evaluation


def test_work_done_once_stands_apart() -> None:
    """b @ a is 8 * 4 * 288 a pass, forward and twice backward; an image costs the layer alone: 288 * 8."""
    found = bill(after_stem(LowRank()), resolution=6)
    assert (found.once_forward_macs, found.once_evaluation_macs) == (8 * 4 * 288, 8 * 4 * 288)
    assert (found.once_weight_gradient_macs, found.once_input_gradient_macs) == (0, 2 * 8 * 4 * 288)
    assert found.evaluation_macs == 8 * 3 * 36 + 288 * 8


def test_work_done_once_is_not_trained_by_the_image() -> None:
    with pytest.raises(UncountedOperator, match="work done once"):
        Bills(after_stem(LowRank())).at(6)


def with_branch(condition: Callable[[Tensor], object]) -> nn.Module:
    """A layer that is passed over where `condition` holds."""

    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, features: Tensor) -> Tensor:
            return features if condition(features) else self.layer(features)

    return after_stem(Branch(), nn.ReLU())


@pytest.mark.parametrize(
    "condition",
    [
        lambda x: torch.rand(1) < 0.5,
        lambda x: torch.rand(1).item() < 1e-9,
        lambda x: torch.rand((), device=x.device) < 0.5,
        lambda x: x.mean() > 0,
        lambda x: float(x.abs().max()) > 1e9,
        lambda x: random.random() < 0.5,
        lambda x: np.random.rand() < 0.5,
    ],
    ids=[
        "torch",
        "torch, hardly ever",
        "on the device",
        "the features",
        "the features, hardly ever",
        "Python",
        "NumPy",
    ],
)
def test_a_path_that_values_decide_is_refused(condition: Callable[[Tensor], object]) -> None:
    network = with_branch(condition)
    before = random.getstate(), repr(np.random.get_state()), torch.get_rng_state()
    with pytest.raises(UncountedOperator, match="path"):
        bill(network, resolution=6)
    assert (random.getstate(), repr(np.random.get_state())) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_a_number_of_positions_that_the_image_decides_is_refused() -> None:
    def chosen(features: Tensor, weight: Tensor) -> Tensor:
        tokens = features.flatten(2).mT.flatten(0, 1)
        return tokens[tokens.sum(1) > 0] @ weight

    with pytest.raises(UncountedOperator, match="path"):
        bill(after_stem(Apply(chosen, (8, 5))), resolution=6)


def test_without_a_shape_only_form_traces_of_other_images_judge() -> None:
    """A constant that is no buffer stays on the CPU, and shape-only tensors cannot meet it."""
    constant = torch.ones(6, 6)
    fixed = bill(after_stem(Apply(lambda x: x * constant), nn.Conv2d(8, 4, 1)), resolution=6)
    assert (fixed.forward_macs, fixed.once_macs) == (8 * 3 * 36 + 8 * 4 * 36, 0)
    with pytest.raises(UncountedOperator, match="path"):
        bill(with_branch(lambda x: (x * constant)[0, 0].var() < 1e-12), resolution=6)
    with pytest.raises(UncountedOperator, match="between images"):
        bill(after_stem(nn.Flatten(), Apply(lambda f: (f * torch.ones(288)) @ f.T)), resolution=6)


def test_a_branch_on_a_shape_or_a_constant_is_none() -> None:
    assert bill(with_branch(lambda x: x.shape[-1] > 6), resolution=6).forward_macs > 8 * 8 * 9 * 36
    rates = torch.linspace(0, 1, 3)
    assert bill(with_branch(lambda x: rates[1].item() > 0.9), resolution=6).forward_macs > 8 * 8 * 9 * 36


def test_products_between_images_are_refused() -> None:
    """f @ f.T grows with the square of the batch."""
    with pytest.raises(UncountedOperator, match="between images"):
        bill(after_stem(nn.Flatten(), Apply(lambda f: f @ f.T)), resolution=6)


def test_an_operator_that_evaluation_alone_runs_is_refused() -> None:
    class Distances(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            tokens = features.flatten(2)
            return tokens if self.training else torch.cdist(tokens, tokens)

    with pytest.raises(UncountedOperator, match="aten::cdist"):
        bill(after_stem(Distances()), resolution=6)


def test_a_product_that_evaluation_alone_runs_is_billed() -> None:
    """mv is unknown to torch's counter: 8 * 36."""

    class Scored(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vector = nn.Parameter(torch.zeros(36))

        def forward(self, features: Tensor) -> Tensor:
            tokens = features.flatten(2)
            return tokens if self.training else torch.mv(tokens.flatten(0, 1), self.vector)

    assert bill(after_stem(Scored()), resolution=6).evaluation_macs == 8 * 3 * 36 + 8 * 36


class Reentrant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(8, 8, 1)

    def forward(self, features: Tensor) -> Tensor:
        return checkpoint(self.layer, features, use_reentrant=True)


@pytest.mark.parametrize(
    ("network", "remedy"),
    [
        (lambda: after_stem(Reentrant()), "use_reentrant=False"),
        (lambda: after_stem(nn.Flatten(), nn.LazyLinear(5)), "run one batch"),
        (lambda: after_stem(torch.jit.script(nn.Sequential(nn.Conv2d(8, 8, 1)))), "pass the eager one"),
        (lambda: torch.compile(after_stem()), "compile=true"),
        (lambda: after_stem(torch.compile(nn.Conv2d(8, 8, 1))), "compile=true"),
    ],
    ids=["reentrant", "lazy", "scripted", "compiled", "a compiled part"],
)
def test_what_hides_its_inside_is_refused_with_what_to_do(network: Callable[[], nn.Module], remedy: str) -> None:
    with pytest.raises(UncountedOperator, match=remedy) as refused:
        bill(network(), resolution=6)
    assert "\n" not in str(refused.value)


def test_a_network_that_cannot_be_trained_or_judged_is_refused() -> None:
    with pytest.raises(BadInput, match="frozen"):
        refuse_untrainable(after_stem().requires_grad_(False), 6)
    pair = after_stem(Apply(lambda x: (x.flatten(1), x)))
    with pytest.raises(BadInput, match="tuple"):
        refuse_untrainable(pair, 6)
    refuse_untrainable(after_stem(nn.Flatten()), 6)
