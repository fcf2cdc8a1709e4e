"""How success depends on the length of a plan: E90, the length at which nine runs of ten succeed, and its interval.

The model is a probit of success on log epochs, P(e) = Phi(z90 + (ln e - ln E90) / s) with s > 0: every run needs its
own number of epochs, and these are log-normal over seeds (Finney 1971, Probit Analysis). Runs are taken as
independent, and success is one look, at the plan's end. The interval is that of the profile likelihood: every E90 at
which the best s explains the runs no worse than 3.84 / 2 below the best fit (chi-squared on one degree of freedom;
Venzon and Moolgavkar 1988, Applied Statistics 37). Where the runs do not show s, because a step fits them best, the
cut is 5.99 / 2, that of the region of both unknowns: with the first the interval of separated runs is too short. The
likelihood is log-concave in slope and intercept, so these E90 are one interval.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, log_ndtr, ndtri, xlogy

from harness.record.target import reached

SHARE = 0.9
"""The share of runs that succeed at E90."""

CONFIDENCE = 0.95
_Z = float(ndtri(SHARE))
_DROP, _DROP_OF_BOTH = (float(chdtri(unknowns, 1 - CONFIDENCE)) / 2 for unknowns in (1, 2))
_STEEPEST = 1e4
"""Slope per unit of log epochs above which two lengths one part in a thousand apart are failure and success."""
_NEAR = 1e-3
"""Beside a length, in log epochs: where a likelihood stands that is reached in the limit only."""
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
    case: "estimated"; "separated" (no length has both outcomes) and "step" (one length alone has, all shorter plans
    fail and all longer succeed): both fit a step best, which has no number; "all"; "none"; "single" (one length, both
    outcomes); "level" (longer plans succeed no more often).
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
        if self.e90 is not None:
            return f"E90 is {self.e90:.3g} epochs"
        first, last = self.tried[0].epochs, self.tried[-1].epochs
        failed = max((t.epochs for t in self.tried if t.succeeded < t.runs), default=first)
        passed = min((t.epochs for t in self.tried if t.succeeded), default=last)
        above = min((t.epochs for t in self.tried if t.epochs > failed), default=last)
        return {
            "separated": f"E90 lies between {failed} epochs, where no run succeeds, and {passed}, where every run does",
            "step": f"E90 lies between {failed} epochs, where some runs succeed, and {above}, where every run does"
            if above > failed
            else f"E90 is not found: no run succeeds below {failed} epochs, the longest plan tried, and some do there",
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
    """E90 by maximum likelihood with its profile interval; raises ValueError without a run.

    Where the best fit is the limit of a step, E90 is a range and no number; the interval needs no finite slope.
    """
    tried = tuple(sorted((t for t in tried if t.runs), key=lambda t: t.epochs))
    if not tried:
        raise ValueError("no run to learn from")
    data = _Data.of(tried)
    case = _case(data)
    point, best = _best(data, case)
    low, high = _ends(data, point, best - (_DROP if case == "estimated" else _DROP_OF_BOTH))
    return Fit(tried, math.exp(point) if case == "estimated" else None, low, high, case)


@dataclass(frozen=True)
class _Data:
    """Log epochs (lengths,), and how many runs succeeded and failed there."""

    x: NDArray[np.float64]
    good: NDArray[np.float64]
    bad: NDArray[np.float64]

    @classmethod
    def of(cls, tried: Iterable[Tried]) -> "_Data":
        rows = [(math.log(t.epochs), t.succeeded, t.runs - t.succeeded) for t in tried]
        x, good, bad = np.array(rows, dtype=np.float64).T
        return cls(x, good, bad)

    def log_likelihood(self, theta: float, slope: float) -> float:
        """Of ln E90 = theta and a slope per unit of log epochs."""
        z = _Z + slope * (self.x - theta)
        return float((self.good * log_ndtr(z) + self.bad * log_ndtr(-z)).sum())

    def level(self, share: float) -> float:
        """Log likelihood of one share of success at every length."""
        return float(xlogy(self.good.sum(), share) + xlogy(self.bad.sum(), 1 - share))

    @property
    def share(self) -> float:
        return float(self.good.sum() / (self.good.sum() + self.bad.sum()))

    def profile(self, theta: float) -> float:
        """The greatest log likelihood at ln E90 = theta, over all slopes from 0 (a level share of 0.9) up.

        It is concave in the slope, so unimodal in the slope's logarithm, too.
        """
        # Not at the top: its import takes longer than an analysis without a search.
        from scipy.optimize import minimize_scalar

        best = minimize_scalar(
            lambda log_slope: -self.log_likelihood(theta, math.exp(log_slope)),
            bounds=(-math.log(_STEEPEST) - 5, math.log(_STEEPEST)),
            method="bounded",
            options={"xatol": 1e-8},
        )
        return max(-float(best.fun), self.level(SHARE))


def _case(data: _Data) -> str:
    if not data.bad.any():
        return "all"
    if not data.good.any():
        return "none"
    failed, passed = data.x[data.bad > 0].max(), data.x[data.good > 0].min()
    if len(data.x) == 1:
        return "single"
    if failed <= passed:
        return "separated" if failed < passed else "step"
    return "estimated" if _rises(data) else "level"


def _rises(data: _Data) -> bool:
    """Whether a slope above 0 explains more than a level share: the score at slope 0, a covariance, says so."""
    runs = data.good + data.bad
    return bool((data.x * (data.good - data.share * runs)).sum() > 1e-12)


def _best(data: _Data, case: str) -> tuple[float, float]:
    """ln E90 at the greatest likelihood, or near where that is a limit, and the likelihood there."""
    if case == "estimated":
        return _newton(data)
    if case in ("level", "single"):  # beyond all lengths, where the curve is as level as it can be
        side = -1 if data.share >= SHARE else 1
        return float(data.x[0] if side < 0 else data.x[-1]) + side * math.log(_FARTHEST), data.level(data.share)
    failed, passed = data.x[data.bad > 0].max(initial=-math.inf), data.x[data.good > 0].min(initial=math.inf)
    if case == "step":
        here = data.x == failed
        share = float(data.good[here].sum() / (data.good[here] + data.bad[here]).sum())
        beside = _NEAR if share < SHARE else -_NEAR
        return float(failed) + beside, float(
            xlogy(data.good[here].sum(), share) + xlogy(data.bad[here].sum(), 1 - share)
        )
    place = {"all": passed - _NEAR, "none": failed + _NEAR, "separated": (failed + passed) / 2}[case]
    return float(place), 0.0


def _newton(data: _Data) -> tuple[float, float]:
    """The peak of the likelihood in intercept and slope, where it is concave and has a gradient in closed form."""
    from scipy.optimize import minimize  # see `profile`

    centre = float(data.x.mean())
    scale = float(np.ptp(data.x))

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        x = (data.x - centre) / scale
        z = at[0] + at[1] * x
        up, down = log_ndtr(z), log_ndtr(-z)
        density = -(z**2 + math.log(2 * math.pi)) / 2
        score = data.good * np.exp(density - up) - data.bad * np.exp(density - down)
        return -float((data.good * up + data.bad * down).sum()), -np.array([score.sum(), (score * x).sum()])

    best = minimize(loss, np.array([ndtri(data.share), 1.0]), jac=True, method="BFGS", options={"gtol": 1e-8})
    intercept, slope = best.x
    return float(centre + scale * (_Z - intercept) / slope), -float(best.fun)


def _ends(data: _Data, point: float, least: float) -> tuple[float, float]:
    """Where the profile likelihood falls to `least`, in epochs; 0 and inf where it does not."""
    from scipy.optimize import brentq  # see `profile`

    def above(theta: float) -> float:
        return data.profile(theta) - least

    width = math.log(_FARTHEST)
    far_low, far_high = float(data.x[0] - width), float(data.x[-1] + width)
    # In the limit the curve is level: at 0.9 or more towards 0 epochs, at 0.9 or less towards infinity.
    open_low = data.level(max(data.share, SHARE)) >= least
    open_high = data.level(min(data.share, SHARE)) >= least
    low = 0.0 if open_low or above(far_low) >= 0 else math.exp(brentq(above, far_low, point, xtol=1e-10))
    high = math.inf if open_high or above(far_high) >= 0 else math.exp(brentq(above, point, far_high, xtol=1e-10))
    return low, high


def _interval_words(low: float, high: float) -> str:
    if low <= 0 and math.isinf(high):
        return "none, neither end is known"
    if math.isinf(high):
        return f"{low:.3g} epochs or more, no upper end"
    return f"{high:.3g} epochs or less, no lower end" if low <= 0 else f"{low:.3g} to {high:.3g} epochs"
