from torch import nn

from harness.measure.config.compose import compose
from harness.measure.config.schema import RecipeConfig
from harness.measure.training.optimiser import build_optimizer


def recipe(*overrides: str) -> RecipeConfig:
    return compose(["recipe=small", *overrides]).recipe


def test_norms_and_biases_can_be_left_undecayed() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    optimizer = build_optimizer(net, recipe("recipe.decay_norm_and_bias=false", "recipe.weight_decay=0.1"), fused=False)
    shapes = {group["weight_decay"]: [tuple(p.shape) for p in group["params"]] for group in optimizer.param_groups}
    assert shapes == {0.1: [(4, 3, 1, 1), (2, 4)], 0.0: [(4,), (4,), (4,), (2,)]}
