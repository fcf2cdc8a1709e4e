"""How success depends on the length of a plan: E90, the length at which nine runs of ten succeed, and its interval.

The model is a probit of success on log epochs, P(e) = Phi(z90 + slope (ln e - ln E90)) with slope > 0: every run needs
its own number of epochs, and these are log-normal over seeds (Finney 1971, Probit Analysis). Runs are taken as
independent, and success is one look, at the plan's end.

The likelihood is penalised by Jeffreys' prior, half the logarithm of the determinant of Fisher's information (Firth
1993, Biometrika 80). So the estimate is finite also where no length has both outcomes (Kosmidis and Firth 2021,
Biometrika 108), and a few dozen runs do not look steeper than they are, as by maximum likelihood. The interval is every
E90 at which the best slope leaves the penalised likelihood no more than 3.84 / 2 below its peak (chi-squared on one
degree of freedom; Heinze and Schemper 2002, Statistics in Medicine 21). How often it holds the truth: results/coverage.

Plans of one length alone bound E90 on one side at most: it is longer, or shorter, where an exact binomial test at 2.5 %
says that the share of success there is below, or above, 0.9 (Clopper and Pearson 1934, Biometrika 26).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, chdtri, log_ndtr, ndtri

from harness.record.target import reached

SHARE = 0.9
"""The share of runs that succeed at E90."""

CONFIDENCE = 0.95
_Z = float(ndtri(SHARE))
_DROP = float(chdtri(1, 1 - CONFIDENCE)) / 2
_SLOPES = (-14.0, 10.0)
"""Logarithms of the slopes looked at, per unit of log epochs: from level to a step between neighbouring lengths."""
_FARTHEST_SCORE, _LEAST = 8.0, 1e-300
"""The normal score beyond which a level share of success is 0 or 1, and an information that counts as none."""
_FARTHEST = 1e6
"""An end of the interval that lies farther from all tried lengths than this factor is no end."""


@dataclass(frozen=True)
class Tried:
    """Runs of one planned length."""

    epochs: int
    runs: int
    succeeded: int


@dataclass(frozen=True)
class Fit:
    """What the runs say of E90, in epochs.

    e90: the estimate, None where the runs bound it at most; low, high: the profile interval, 0 and inf where open;
    case: "estimated"; "all"; "none"; "single" (one length, both outcomes); "level" (longer plans succeed no more
    often).
    """

    tried: tuple[Tried, ...]
    e90: float | None
    low: float
    high: float
    case: str

    @property
    def words(self) -> str:
        """One sentence for a person, with the reason where there is no number."""
        return f"{self._estimate}; {100 * CONFIDENCE:.0f} % interval: {_interval_words(self.low, self.high)}"

    @property
    def _estimate(self) -> str:
        first, last = self.tried[0].epochs, self.tried[-1].epochs
        if self.e90 is not None:
            beyond = "" if first <= self.e90 <= last else f", beyond the plans tried ({first} to {last} epochs)"
            return f"E90 is {self.e90:.3g} epochs{beyond}"
        return {
            "all": f"every run succeeds, also with {first} epochs, the shortest plan tried: E90 is not found",
            "none": f"no run succeeds, not even with {last} epochs, the longest plan tried: E90 is not found",
            "single": f"plans of {first} epochs alone were tried: E90 is not found",
            "level": "longer plans do not succeed more often than shorter ones: E90 is not found",
        }[self.case]

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """The interval as plain data, None for an open end."""
        return self.low if self.low > 0 else None, self.high if math.isfinite(self.high) else None

    @property
    def tried_data(self) -> list[dict[str, Any]]:
        """What was tried, as plain data."""
        return [{"planned_epochs": t.epochs, "runs": t.runs, "succeeded": t.succeeded} for t in self.tried]


def success(outcome: str, last: tuple[int, int] | None, value: float) -> bool | None:
    """Whether a run ends at the level: its last look, and no other, is at or above it. None where it tells nothing.

    last: (correct, total) of the last look, None where there is none; value: the level as a fraction. A run that
    diverged failed; one that broke off for want of memory or time says nothing of the length of its plan.
    """
    if outcome in ("out_of_memory", "interrupted"):
        return None
    return outcome != "diverged" and last is not None and reached(*last, value)


def tally(runs: Iterable[tuple[int, bool]]) -> tuple[Tried, ...]:
    """Runs as (planned epochs, success) by length."""
    ordered = sorted(runs)
    tried = []
    for epochs, same in groupby(ordered, key=lambda run: run[0]):
        outcomes = [success for _, success in same]
        tried.append(Tried(epochs, len(outcomes), sum(outcomes)))
    return tuple(tried)


def fit(tried: Iterable[Tried]) -> Fit:
    """E90 at the peak of the penalised likelihood, with its profile interval; raises ValueError without a run.

    No number where all runs succeed, or all fail, or longer plans succeed no more often: nothing shows where E90 is.
    """
    tried = tuple(sorted((t for t in tried if t.runs), key=lambda t: t.epochs))
    if not tried:
        raise ValueError("no run to learn from")
    if len(tried) == 1:
        return Fit(tried, None, *_bounds(tried[0]), _without_a_rise(tried, "single"))
    data = _Data.of(tried)
    log_e90, best = data.peak()
    case = _without_a_rise(tried, "level" if log_e90 is None else "estimated")
    low, high = _ends(data, log_e90, best - _DROP)
    return Fit(tried, math.exp(log_e90) if log_e90 is not None and case == "estimated" else None, low, high, case)


def _without_a_rise(tried: tuple[Tried, ...], otherwise: str) -> str:
    """The case of runs that all end alike; `otherwise` of others."""
    succeeded = sum(t.succeeded for t in tried)
    return {0: "none", sum(t.runs for t in tried): "all"}.get(succeeded, otherwise)


def _bounds(only: Tried) -> tuple[float, float]:
    """The interval of E90 by runs of one length."""
    tail = (1 - CONFIDENCE) / 2
    too_few = bdtr(only.succeeded, only.runs, SHARE) < tail
    too_many = 1 - bdtr(only.succeeded - 1, only.runs, SHARE) < tail
    return float(only.epochs) if too_few else 0.0, float(only.epochs) if too_many else math.inf


@dataclass(frozen=True)
class _Data:
    """Log epochs (lengths,), two lengths or more, and how many runs succeeded and failed there.

    squares: (lengths, lengths), of the distances between lengths.
    """

    x: NDArray[np.float64]
    good: NDArray[np.float64]
    bad: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, tried: Iterable[Tried]) -> "_Data":
        rows = [(math.log(t.epochs), t.succeeded, t.runs - t.succeeded) for t in tried]
        x, good, bad = np.array(rows, dtype=np.float64).T
        return cls(x, good, bad, np.subtract.outer(x, x) ** 2)

    def log_likelihood(self, z: NDArray[np.float64]) -> float:
        """Penalised, of normal scores of success z (lengths,)."""
        up, down = log_ndtr(z), log_ndtr(-z)
        weight = (self.good + self.bad) * np.exp(-(z**2) - math.log(2 * math.pi) - up - down)
        information = (np.outer(weight, weight) * self.squares).sum() / 2  # the determinant
        return float((self.good * up + self.bad * down).sum() + math.log(max(information, _LEAST)) / 2)

    def profile(self, log_e90: float) -> float:
        """The greatest penalised log likelihood at an E90, over all slopes above 0."""
        from scipy.optimize import minimize_scalar  # not at the top: it takes longer than an analysis without a search

        def loss(log_slope: float) -> float:
            return -self.log_likelihood(_Z + math.exp(log_slope) * (self.x - log_e90))

        best = minimize_scalar(loss, bounds=_SLOPES, method="bounded", options={"xatol": 1e-8})
        return -min(float(best.fun), loss(_SLOPES[0]))

    def level(self, most: float = math.inf, least: float = -math.inf) -> float:
        """The greatest where all lengths succeed alike, with a normal score between `least` and `most`."""
        from scipy.optimize import minimize_scalar  # see `profile`

        ends = max(least, -_FARTHEST_SCORE), min(most, _FARTHEST_SCORE)
        best = minimize_scalar(lambda z: -self.log_likelihood(np.full(len(self.x), z)), bounds=ends, method="bounded")
        return -float(best.fun)

    def peak(self) -> tuple[float | None, float]:
        """ln E90 at the greatest penalised likelihood, and that; None where it is that of a level curve."""
        from scipy.optimize import minimize  # see `profile`

        centre, scale = float(self.x.mean()), float(np.ptp(self.x))
        runs = self.good + self.bad
        share = (self.good.sum() + 0.5) / (runs.sum() + 1)
        best = minimize(
            lambda at: -self.log_likelihood(at[0] + at[1] * (self.x - centre) / scale),
            np.array([ndtri(share), 1.0]),
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 2_000},
        )
        intercept, slope = best.x
        if slope <= math.exp(_SLOPES[0]):
            return None, self.level()
        return float(centre + scale * (_Z - intercept) / slope), -float(best.fun)


def _ends(data: _Data, log_e90: float | None, least: float) -> tuple[float, float]:
    """Where the profile falls to `least`, in epochs; 0 and inf where it does not.

    In the limit of E90 the curve is level: at 0.9 or more towards 0 epochs, at 0.9 or less towards infinity.
    """
    from scipy.optimize import brentq  # see `profile`

    def above(at: float) -> float:
        return data.profile(at) - least

    far_low, far_high = float(data.x[0]) - math.log(_FARTHEST), float(data.x[-1]) + math.log(_FARTHEST)
    open_low, open_high = data.level(least=_Z) >= least, data.level(most=_Z) >= least
    low, high = 0.0, math.inf
    if not open_low and above(far_low) < 0:
        low = math.exp(brentq(above, far_low, far_high if log_e90 is None else log_e90, xtol=1e-10))
    if not open_high and above(far_high) < 0:
        high = math.exp(brentq(above, far_low if log_e90 is None else log_e90, far_high, xtol=1e-10))
    return low, high


def _interval_words(low: float, high: float) -> str:
    if low <= 0 and math.isinf(high):
        return "none, neither end is known"
    if math.isinf(high):
        return f"{low:.3g} epochs or more, no upper end"
    return f"{high:.3g} epochs or less, no lower end" if low <= 0 else f"{low:.3g} to {high:.3g} epochs"
