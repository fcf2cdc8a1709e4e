import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from harness.models import build
from torch import nn

from harness.measure.config.compose import compose
from harness.measure.config.schema import RecipeConfig
from harness.measure.training.recipe.optimiser import build_optimizer, set_learning_rate


def recipe(*overrides: str) -> RecipeConfig:
    return compose(["recipe=small", *overrides]).recipe


def test_norms_and_biases_can_be_left_undecayed() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    optimizer = build_optimizer(net, recipe("recipe.decay_norm_and_bias=false", "recipe.weight_decay=0.1"), fused=False)
    shapes = {group["weight_decay"]: [tuple(p.shape) for p in group["params"]] for group in optimizer.param_groups}
    assert shapes == {0.1: [(4, 3, 1, 1), (2, 4)], 0.0: [(4,), (4,), (4,), (2,)]}


def test_rmsprop_is_tensorflows() -> None:
    """Fifty steps with momentum, decay and a falling rate end where timm's RMSpropTF ends."""
    from timm.optim import RMSpropTF  # every process that collects the tests would load it

    plan = recipe("recipe.optimizer=rmsprop", "recipe.epsilon=0.001", "recipe.lr=0.05", "recipe.weight_decay=0.01")
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5))
    theirs = copy.deepcopy(ours)
    mine = build_optimizer(ours, plan, fused=False)
    reference = RMSpropTF(theirs.parameters(), lr=0.05, alpha=0.9, eps=0.001, momentum=0.9, weight_decay=0.01)
    for step in range(50):
        images, labels = torch.randn(8, 3, 8, 8), torch.randint(0, 5, (8,))
        for net, optimizer in ((ours, mine), (theirs, reference)):
            set_learning_rate(optimizer, 0.05 * 0.95**step)
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-5)


def test_mobilenet_v2_stays_on_the_ground_with_its_papers_rmsprop() -> None:
    """With epsilon outside the root and an accumulator from 0 the loss went 3.04 -> 64 within these steps."""
    config = compose(["model=mobilenet_v2", "recipe=era", "data=digits"])
    torch.manual_seed(0)
    net = build("mobilenet_v2", classes=20)
    optimizer = build_optimizer(net, config.recipe, fused=False)
    images, labels = torch.randn(32, 3, 32, 32), torch.arange(32) % 20
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(net(images), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert max(losses) < 6


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_shared_weight_is_stepped_once(optimizer: str) -> None:
    """Two layers, one weight: the step is torch's own over `parameters()`, which names it once."""
    torch.manual_seed(0)
    tied = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 4, bias=False))
    tied[2].weight = tied[0].weight
    alone = copy.deepcopy(tied)
    plan = recipe(f"recipe.optimizer={optimizer}", "recipe.lr=0.1", "recipe.weight_decay=0.01")
    theirs = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, betas=(0.9, 0.999), weight_decay=0.01),
    }[optimizer](alone.parameters())
    for net, stepper in ((tied, build_optimizer(tied, plan, fused=False)), (alone, theirs)):
        net(torch.ones(2, 4)).square().sum().backward()
        stepper.step()
    assert torch.equal(tied[0].weight, alone[0].weight)


@pytest.mark.parametrize("kind", ["sgd", "nesterov"])
def test_a_fused_first_step_that_overflows_leaves_no_trace(kind: str) -> None:
    """fp16's scaler skips it. The next step is that of a network that never overflowed."""
    plan = recipe(f"recipe.optimizer={kind}", "recipe.lr=0.1", "recipe.weight_decay=0.01")
    torch.manual_seed(0)
    nets = [nn.Linear(300, 7), nn.Linear(300, 7)]
    nets[1].load_state_dict(nets[0].state_dict())
    images = torch.randn(4, 300)
    for net, overflows in zip(nets, (True, False), strict=True):
        optimizer = build_optimizer(net, plan, fused=True)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        for factor in (1e38, 1.0) if overflows else (1.0,):
            scaler.scale(net(images).square().mean() * factor).backward()
            with unlike_zero():
                scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    for after, expected in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(after, expected, rtol=1e-6, atol=0)


@contextmanager
def unlike_zero() -> Iterator[None]:
    """Memory that nobody has written yet holds NaN, as it may."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # which fills it
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def test_what_the_papers_leave_undecayed() -> None:
    """Swin's position bias, ConvNeXt's layer scale and RMSNorm's weights go with norms and biases."""
    plan = recipe("recipe.decay_norm_and_bias=false", "recipe.weight_decay=0.1")
    own = nn.Sequential(nn.Linear(4, 4), nn.RMSNorm(4))
    nets = {"swin_t": "relative_position_bias_table", "convnext_tiny": "layer_scale"}
    with torch.device("meta"):
        built = [(build(name, classes=10), part) for name, part in nets.items()]
    for net, part in [*built, (own, "1.weight")]:
        optimizer = build_optimizer(net, plan, fused=False)
        undecayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] == 0 for p in g["params"]}
        named = [p for name, p in net.named_parameters() if part in name]
        assert named
        assert all(id(p) in undecayed for p in named), part
