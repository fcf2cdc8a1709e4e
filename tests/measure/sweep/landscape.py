"""Planted landscapes: every run needs its own number of epochs, drawn here and known to no other code."""

import numpy as np

from harness.measure.sweep.design import Ask, Rule, Stop, next_step

Z90 = 1.2815515655446004
Known = list[tuple[int, bool]]


def play(rule: Rule, e90: float, spread: float, rng: np.random.Generator) -> tuple[Known, Stop]:
    """A whole search where nine runs of ten need at most `e90` epochs, log-normal over seeds."""
    known: Known = []
    while isinstance(step := next_step(known, rule), Ask):
        assert list(step.seeds) == list(range(len(known), len(known) + rule.seeds))
        needs = e90 * np.exp(spread * (rng.standard_normal(rule.seeds) - Z90))
        known += [(step.epochs, bool(step.epochs >= need)) for need in needs]
    return known, step
