import math
from itertools import pairwise

import pytest

from harness.measure.config.compose import compose
from harness.measure.config.schema import RecipeConfig
from harness.measure.training.recipe.schedule import learning_rate


def recipe(*overrides: str) -> RecipeConfig:
    return compose(["recipe=small", *overrides]).recipe


def rates(plan: RecipeConfig, epochs: int, steps_per_epoch: int = 10) -> list[float]:
    return [
        learning_rate(plan, step=step, steps_per_epoch=steps_per_epoch, epochs=epochs)
        for step in range(epochs * steps_per_epoch)
    ]


def test_alexnets_steps_are_the_studys() -> None:
    found = rates(compose(["recipe=paper2020", "model=alexnet"]).recipe, 90)
    assert found[0] == found[299] == pytest.approx(0.01)
    assert found[300] == found[599] == pytest.approx(0.001)
    assert found[600] == found[899] == pytest.approx(0.0001)


def test_the_others_decay_smoothly_by_a_thousand_over_the_plan() -> None:
    found = rates(compose(["recipe=paper2020", "model=resnet18"]).recipe, 90)
    assert found[0] == pytest.approx(0.1)
    ratios = {round(b / a, 9) for a, b in pairwise(found)}
    assert len(ratios) == 1
    assert found[0] / (found[-1] * ratios.pop()) == pytest.approx(1000)


def test_one_cycle_rises_to_the_peak_and_falls_to_nothing() -> None:
    found = rates(recipe("recipe.schedule=onecycle", "recipe.lr=1.0"), 10)
    assert found[0] == pytest.approx(1 / 25)
    assert max(found) == found[30] == pytest.approx(1)
    assert found[:31] == sorted(found[:31])
    assert found[30:] == sorted(found[30:], reverse=True)
    assert found[-1] < 0.002


def test_cosine_after_warmup() -> None:
    found = rates(recipe("recipe.schedule=cosine", "recipe.lr=1.0", "recipe.warmup_epochs=2"), 10)
    assert found[9] == pytest.approx(0.5)
    assert found[19] == found[20] == pytest.approx(1)
    assert found[60] == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))


def test_constant_stays() -> None:
    assert set(rates(recipe("recipe.schedule=constant", "recipe.lr=0.5"), 2)) == {0.5}
