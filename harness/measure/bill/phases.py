"""The bill per image at every resolution that a run goes through, counted once each."""

from dataclasses import dataclass, field

from torch import nn

from harness.measure.bill.count import Bill, bill
from harness.measure.config.schema import RecipeConfig


@dataclass
class Bills:
    """Counts `model` on demand; a bill depends on the resolution."""

    model: nn.Module
    _known: dict[int, Bill] = field(default_factory=dict)

    def at(self, resolution: int) -> Bill:
        """MACs per image at a resolution. Raises UncountedOperator for an operator that no rule covers."""
        if (found := self._known.get(resolution)) is None:
            found = self._known[resolution] = bill(self.model, resolution=resolution)
        return found

    def foresee(self, recipe: RecipeConfig, resolution: int) -> None:
        """Count every phase of the recipe now: an operator nobody can bill stops the run at its start, not in it."""
        for each in {resolution, *(phase.resolution for phase in recipe.resolution_schedule)}:
            self.at(each)
