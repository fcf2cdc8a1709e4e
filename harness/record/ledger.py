"""The bill of a run: integer MACs by line."""

from dataclasses import asdict, dataclass

LEDGER_LINES = ("train_forward_macs", "train_backward_macs", "evaluation_macs", "lost_macs")


@dataclass
class Ledger:
    """What a run has spent so far. All lines are integers, in MACs.

    A cost to target is counted in `train_macs`. `lost_macs` is work done, lost to an interruption and done again: it
    stands on its own line, so that the cost of an interrupted run equals that of an uninterrupted one.
    """

    train_forward_macs: int = 0
    train_backward_macs: int = 0
    evaluation_macs: int = 0
    lost_macs: int = 0

    @property
    def train_macs(self) -> int:
        """Forward and backward MACs of training, which a cost to target is counted in."""
        return self.train_forward_macs + self.train_backward_macs

    @property
    def done_macs(self) -> int:
        """Training and evaluation together, without what was lost."""
        return self.train_macs + self.evaluation_macs

    def bill_training(self, images: int, *, forward_macs: int, backward_macs: int) -> None:
        """Add a training step of `images` images at the given MACs per image."""
        self.train_forward_macs += images * forward_macs
        self.train_backward_macs += images * backward_macs

    def bill_evaluation(self, images: int, *, evaluation_macs: int) -> None:
        """Add an evaluation of `images` images at the given MACs per image."""
        self.evaluation_macs += images * evaluation_macs

    def as_dict(self) -> dict[str, int]:
        """The four lines, in the order of `LEDGER_LINES`."""
        return asdict(self)
