"""The trend without a threshold: accuracy as a function of compute and date, over whole curves.

    logit(accuracy) = a + b log2(compute) + c months

after Erdil & Besiroglu 2022 (arXiv 2212.05153), who fit final accuracies of published models; here every curve gives
the level at each whole percent and what it had spent there. At equal accuracy the compute needed falls by c / b
doublings a month: one halving takes b / c months. Each network counts once: its curves, and their levels, share its
weight. The interval resamples networks, since levels of one curve, and curves of one network, are no independent
evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logit

from harness.analyse.trend.line import halving, halving_interval

DRAWS = 4_000


@dataclass(frozen=True)
class Point:
    """A level of a curve. accuracy: a fraction in (0, 1); log2_compute in doublings; month: of publication."""

    network: str
    curve: str
    accuracy: float
    log2_compute: float
    month: float


def fit_surface(points: Sequence[Point], draws: int = DRAWS, seed: int = 0) -> dict[str, Any] | None:
    """The fit and its 95 % interval over networks; None with fewer than four networks or two dates.

    doublings_a_month: c / b, by how much less compute the same accuracy needs a month later.
    """
    networks = sorted({p.network for p in points})
    if len(networks) < 4 or len({p.month for p in points}) < 2:
        return None
    middle = float(np.mean([p.month for p in points]))  # centred: the sums below stay well conditioned
    x = np.array([[1.0, p.log2_compute, p.month - middle] for p in points])
    y = logit(np.array([p.accuracy for p in points]))
    weight = _weights(points)
    column = np.array([networks.index(p.network) for p in points])
    solution = np.linalg.lstsq(x * np.sqrt(weight)[:, None], y * np.sqrt(weight), rcond=-1)[0]
    squares = np.zeros((len(networks), 3, 3))
    products = np.zeros((len(networks), 3))
    np.add.at(squares, column, weight[:, None, None] * x[:, :, None] * x[:, None, :])
    np.add.at(products, column, weight[:, None] * x * y[:, None])
    times = np.random.default_rng(seed).multinomial(len(networks), np.full(len(networks), 1 / len(networks)), draws)
    drawn = np.linalg.solve(np.einsum("dn,nij->dij", times, squares), (times @ products)[:, :, None])[:, :, 0]
    slopes = drawn[:, 2] / drawn[:, 1]
    low, high = np.quantile(slopes, (0.025, 0.975))
    slope = float(solution[2] / solution[1])
    residual = y - x @ solution
    ends = halving_interval(-float(high), -float(low))
    return {
        "points": len(points),
        "curves": len({p.curve for p in points}),
        "networks": len(networks),
        "logit_per_doubling": float(solution[1]),
        "logit_per_year": float(solution[2]) * 12,
        "doublings_a_month": slope,
        "doublings_interval": [float(low), float(high)],
        "halving_months": halving(-slope),
        "halving_interval": [ends[0], None if np.isinf(ends[1]) else ends[1]],
        "residual_logit": float(np.sqrt((weight * residual**2).sum() / weight.sum())),
    }


def _weights(points: Sequence[Point]) -> Any:
    """(points,) one over the network's curves times the curve's levels, so that each network weighs one."""
    levels: dict[str, int] = {}
    curves: dict[str, set[str]] = {}
    for p in points:
        levels[p.curve] = levels.get(p.curve, 0) + 1
        curves.setdefault(p.network, set()).add(p.curve)
    return np.array([1 / (levels[p.curve] * len(curves[p.network])) for p in points])
