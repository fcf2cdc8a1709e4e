"""The estimate of a step's memory: one network by hand, and the plans it refuses."""

from torch import nn

from harness.measure.bill.count import bill
from harness.measure.bill.memory import step_bytes, unfit
from harness.measure.config.compose import compose


def test_a_network_by_hand() -> None:
    """A linear layer keeps its input of 12 numbers, ReLU its output of 8, which is the next layer's input: once."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
    counted = bill(net, resolution=2)
    assert counted.activation_bytes == 4 * (12 + 8)
    weights = 12 * 8 + 8 + 8 * 4 + 4
    needed = step_bytes(counted, images=10, states=2, sixteen_bit=True)
    assert needed == 10 * 2 * (12 + 8) + 4 * (2 + 2) * weights


def test_what_is_frozen_keeps_nothing() -> None:
    """BatchNorm and the layer after it keep their inputs; weights and statistics do not count."""
    stem, rest = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1)
    net = nn.Sequential(stem.requires_grad_(False), nn.BatchNorm2d(4), rest)
    assert bill(net, resolution=2).activation_bytes == 4 * (4 * 4 + 4 * 4)


def test_a_batch_of_4096_on_one_gpu_is_refused_and_what_it_names_fits() -> None:
    words = [
        "model=mobilenet_v3_large",
        "data=imagenet",
        "recipe=era",
        "budget.gpu=A100",
        "recipe.accumulation_steps=1",
    ]
    (line,) = unfit([compose(words), compose([*words, "seed=1"])])
    assert line.startswith("memory: mobilenet_v3_large with recipe=era needs about ")
    steps = line.partition("recipe.accumulation_steps to ")[2].split()[0]
    assert int(steps) > 1
    assert unfit([compose([*words, f"recipe.accumulation_steps={steps}"])]) == []
    assert unfit([compose([*words, "device=cpu"])]) == []
