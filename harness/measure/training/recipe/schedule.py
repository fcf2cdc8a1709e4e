"""The learning rate of a step: a pure function of the recipe, so that a resumed run has no state to restore."""

import math

from harness.measure.config.schema import RecipeConfig


def learning_rate(recipe: RecipeConfig, *, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The learning rate of a step (0-based): a pure function of the plan, so that there is no state to restore.

    The schedule spans `epochs`; "exponential" and "cosine" change at every step, "step" at whole epochs. "onecycle"
    rises from 1/25 of the peak over the first 30 % and falls to 1e-5 of it, both by half a cosine.
    """
    total = epochs * steps_per_epoch
    done = step / total
    warmup_steps = recipe.warmup_epochs * steps_per_epoch
    if step < warmup_steps:
        return recipe.lr * (step + 1) / warmup_steps
    if recipe.schedule == "step":
        drops = (step // steps_per_epoch) // recipe.schedule_every_epochs
        return float(recipe.lr / recipe.schedule_factor**drops)
    if recipe.schedule == "exponential":
        return float(recipe.lr / recipe.schedule_factor**done)
    if recipe.schedule == "cosine":
        after_warmup = (step - warmup_steps) / max(1.0, total - warmup_steps)
        return recipe.lr * 0.5 * (1 + math.cos(math.pi * after_warmup))
    if recipe.schedule == "onecycle":
        return recipe.lr * _one_cycle(done)
    return recipe.lr


def _one_cycle(done: float, *, rise: float = 0.3, start: float = 1 / 25, end: float = 1e-5) -> float:
    if done < rise:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * done / rise))
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * (done - rise) / (1 - rise)))
