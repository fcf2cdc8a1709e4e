"""Reading a curve: where it crosses a level, and what the ledger says there."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from harness.analyse.evidence.runs.run import Run
from harness.record.target import crossing as confirmed
from harness.record.target import reached


@dataclass(frozen=True, slots=True)
class Crossing:
    """`index`: the evaluation whose ledger is the cost; `previous`: the one before it, None for the first.

    The level was passed somewhere after `previous` and not after `index`: that interval is the resolution.
    """

    index: int
    previous: int | None


def crossing(run: Run, metric: str, value: float, *, confirm: int = 1, errors: int = 0) -> Crossing | None:
    """The look at which a run is at `value` (a fraction) and stays for `confirm` looks, itself one; None for a miss.

    The rule is the record's own, `harness.record.target.crossing`, which the training loop follows, too. errors: how
    often the error of a curve that was read off a plot is added to its counts, 1 and -1 give the ends.
    """
    counts = run.count(f"correct_{metric}") + errors * run.error(metric)
    above: Any = reached(cast(Any, counts), cast(Any, run.count("total")), value)
    judged = np.flatnonzero(run.judged(metric))
    at = confirmed(np.asarray(above, dtype=bool)[judged].tolist(), confirm)
    return None if at is None else Crossing(int(judged[at]), int(judged[at - 1]) if at else None)


def crossing_indices(run: Run, metric: str, values: NDArray[np.float64], *, confirm: int = 1) -> NDArray[np.intp]:
    """`crossing` at each of many levels, (levels,): the index of the look; equal to the curve's length where never.

    A run holds a level for `confirm` looks where the lowest of them is at it: so the level confirmed by a look is
    that minimum, and the first look that confirms a level is found in the running maximum of those.
    """
    looks = run.counters.shape[1]
    judged = np.flatnonzero(run.judged(metric))
    if len(judged) < confirm:
        return np.full(len(values), looks, dtype=np.intp)
    held = np.lib.stride_tricks.sliding_window_view(run.accuracy(metric)[judged], confirm).min(axis=1)
    index = np.searchsorted(np.maximum.accumulate(held), values, side="left")
    return np.where(index == len(held), looks, judged[np.minimum(index, len(judged) - 1)])
