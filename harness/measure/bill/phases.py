"""The bill per image at every resolution and set of frozen layers that a run goes through, counted once each."""

from dataclasses import dataclass, field

from torch import nn

from harness.measure.bill.count import Bill, bill
from harness.measure.config.schema import RecipeConfig
from harness.measure.training.optimise import freeze, resolution_at


@dataclass
class Bills:
    """Counts `model` on demand; a bill depends on the resolution and on which parameters train."""

    model: nn.Module
    _known: dict[tuple[int, int], Bill] = field(default_factory=dict)

    def at(self, resolution: int) -> Bill:
        """MACs per image at a resolution, for the parameters that train now."""
        trained = hash(tuple(parameter.requires_grad for parameter in self.model.parameters()))
        if (found := self._known.get((resolution, trained))) is None:
            found = self._known[resolution, trained] = bill(self.model, resolution=resolution)
        return found

    def foresee(self, recipe: RecipeConfig, resolution: int) -> None:
        """Count every phase of the recipe now: an operator nobody can bill stops the run at its start, not in it."""
        trained = [parameter.requires_grad for parameter in self.model.parameters()]
        begins = [phase.from_epoch for phase in recipe.resolution_schedule] + [
            phase.from_epoch for phase in recipe.frozen
        ]
        for epoch in sorted({0, *begins}):
            freeze(self.model, recipe, epoch=epoch)
            self.at(resolution)
            self.at(resolution_at(recipe, resolution, epoch=epoch))
        for parameter, flag in zip(self.model.parameters(), trained, strict=True):
            parameter.requires_grad_(flag)
