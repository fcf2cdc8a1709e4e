"""The dashboard: a mirror of the record, never its source."""

from pathlib import Path
from typing import Any

from harness.measure.schema import TrackingConfig
from harness.record.curve import Evaluation


class Tracker:
    """Receives what the record receives. This one keeps nothing (tracking=none)."""

    def log(self, row: Evaluation, derived: dict[str, float]) -> None:
        """An evaluation, as it enters the curve."""

    def log_step(self, images: int, metrics: dict[str, float]) -> None:
        """Training loss, learning rate and throughput, every `log_every_steps`."""

    def finish(self, summary: dict[str, Any], folder: Path) -> None:
        """The sealed record."""

    def interrupted(self) -> None:
        """The run stops here and will be resumed."""


def start(
    tracking: TrackingConfig, *, run_id: str, folder: Path, config: dict[str, Any], resume_images: int
) -> Tracker:
    """The tracker that the config names."""
    return Tracker()
