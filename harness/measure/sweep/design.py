"""Which plans a search tries, and when it stops: a pure function of the runs so far.

Nothing is stored: a search resumes by asking again with what it finds. A block of runs, each with a seed of its own,
is tried at one planned length. First the length is halved from the longest plan down, until half of a block fails. From
that length to `SPAN` times as much, evenly in its logarithm, go all blocks that are left: E90 lies among them, and
lengths on both sides of it show how steeply success rises. The number of runs is fixed beforehand. A search that
stopped once its interval looks narrow would stop where the runs happen to agree, and its interval would be too short:
so it stops early only where E90 lies above the longest plan, of which further runs of that plan could say no more.

How often the interval of a whole search holds a planted E90: results/coverage.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.record.dose_response import fit, tally
from harness.record.errors import BadInput

SPAN = 3
"""The longest of the spread plans over the one at which half of a block fails. That one is near what the median run
needs, and nine runs of ten need under three times as much while the spread over seeds is below 0.85 in log epochs."""


@dataclass(frozen=True)
class Rule:
    """shortest, longest: the plans that may be tried, in epochs; seeds: runs of a block; runs: all of a search.

    Raises BadInput where that leaves nothing to choose.
    """

    shortest: int
    longest: int
    seeds: int = 3
    runs: int = 30

    def __post_init__(self) -> None:
        if not 1 <= self.shortest < self.longest:
            raise BadInput(
                f"plans from {self.shortest} to {self.longest} epochs: --min-epochs is 1 or more and below "
                "budget.epochs, the longest plan"
            )
        if self.seeds < 1:
            raise BadInput(f"--seeds {self.seeds}: a length is tried with 1 run or more")
        if self.runs < 2 * self.seeds or self.runs % self.seeds:
            raise BadInput(
                f"--runs {self.runs}: give a multiple of --seeds {self.seeds}, for two lengths or more: at least "
                f"{2 * self.seeds}"
            )


@dataclass(frozen=True)
class Ask:
    """The next block: a run of `epochs` planned epochs for each of `seeds`, which count from 0 over the search."""

    epochs: int
    seeds: range


@dataclass(frozen=True)
class Stop:
    """The end of a search, with its reason in words."""

    reason: str


def next_step(known: Sequence[tuple[int, bool]], rule: Rule) -> Ask | Stop:
    """The next block, or why there is none. known: (planned epochs, success) of every run so far, as it was asked."""
    blocks = [known[start : start + rule.seeds] for start in range(0, len(known), rule.seeds)]
    ask = range(len(known), len(known) + rule.seeds)
    if len(known) >= rule.runs:
        return Stop(f"all {len(known)} runs are made")
    halved = 0
    epochs = rule.longest
    while True:
        if halved == len(blocks):
            return Ask(epochs, ask)
        halved += 1
        if _half_fail(blocks[halved - 1]) or epochs == rule.shortest:
            break
        epochs = max(rule.shortest, round(epochs / 2))
    if epochs == rule.longest and fit(tally(known)).low >= rule.longest:
        return Stop(f"E90 lies above {rule.longest} epochs, the longest plan allowed: raise budget.epochs")
    left = rule.runs // rule.seeds - halved
    lengths = np.geomspace(epochs, min(rule.longest, SPAN * epochs), left + 1)[1:]
    return Ask(round(float(lengths[len(blocks) - halved])), ask)


def _half_fail(block: Sequence[tuple[int, bool]]) -> bool:
    """Half of them or more fail."""
    return 2 * sum(success for _, success in block) <= len(block)
