"""The bill per image at every resolution that a run goes through, counted once each."""

from dataclasses import dataclass, field

from torch import nn

from harness.measure.bill.count import Bill, bill
from harness.measure.bill.refusals import refuse_untrainable
from harness.measure.config.schema import RecipeConfig
from harness.record.errors import UncountedOperator


@dataclass
class Bills:
    """Counts `model` on demand; a bill depends on the resolution."""

    model: nn.Module
    _known: dict[int, Bill] = field(default_factory=dict)

    def at(self, resolution: int) -> Bill:
        """MACs per image at a resolution.

        Raises UncountedOperator for an operator that no rule covers, and where an image has no cost of its own.
        """
        if (known := self._known.get(resolution)) is None:
            known = bill(self.model, resolution=resolution)
            if known.once_macs or known.once_evaluation_macs:
                raise UncountedOperator(
                    f"at {resolution} pixels {known.once_macs:,} MACs of a training pass are work done once, however "
                    "many its images (a weight computed from others, say): the ledger bills by the image, so it would "
                    "be wrong; `harness count` tells both parts"
                )
            self._known[resolution] = known
        return known

    def count_phases(self, recipe: RecipeConfig, resolution: int) -> None:
        """Count every phase of the recipe now: an operator nobody can bill stops the run at its start, not in it.

        Raises BadInput for a network that cannot be trained, or not be judged.
        """
        self.at(resolution)
        refuse_untrainable(self.model, resolution)
        for phase in recipe.resolution_schedule:
            self.at(phase.resolution)
