"""The bill per image at every resolution and set of frozen layers that a run goes through, counted once each."""

from dataclasses import dataclass, field

from torch import nn

from harness.measure.flops import Bill, bill


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
