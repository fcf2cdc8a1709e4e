"""Reading a curve: where it crosses a level, and what the ledger says there."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from harness.analyse.evidence.trials import Trial
from harness.record.target import reached


@dataclass(frozen=True, slots=True)
class Crossing:
    """`index`: the first evaluation at or above the level; `previous`: the one before it, None for the first.

    The level was passed somewhere after `previous` and not after `index`: that interval is the resolution.
    """

    index: int
    previous: int | None


def crossing(trial: Trial, metric: str, value: float, *, in_a_row: int = 1) -> Crossing | None:
    """First evaluation from which `in_a_row` successive ones are at or above `value` (a fraction); None for a miss."""
    passed: Any = reached(cast(Any, trial.count(f"correct_{metric}")), cast(Any, trial.count("total")), value)
    # The predicate is applied to whole arrays: one division and one comparison an evaluation, as in the training loop.
    held = np.asarray(passed, dtype=bool)
    for step in range(1, in_a_row):
        held = held[: len(held) - 1] & np.asarray(passed, dtype=bool)[step:]
    if not held.any():
        return None
    start = int(held.argmax())
    return Crossing(start, start - 1 if start else None)


def crossing_indices(trial: Trial, metric: str, values: NDArray[np.float64]) -> NDArray[np.intp]:
    """First evaluation at or above each of many levels, (levels,); equal to the curve's length where never."""
    best_so_far = np.maximum.accumulate(trial.accuracy(metric)) if trial.counters.shape[1] else np.empty(0)
    return np.searchsorted(best_so_far, values, side="left")
