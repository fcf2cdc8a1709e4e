"""The level that a config asks for, as the record knows it."""

from dataclasses import asdict

from harness.measure.config.schema import Config
from harness.record.target import Target


def target_of(config: Config) -> Target | None:
    """The level to stop at, or None for a full schedule."""
    level = config.target
    if level.metric is None or level.value is None:
        return None
    also = ((metric, value) for metric, value in asdict(level.also).items() if value is not None)
    return Target(
        metric=level.metric,
        value=level.value,
        split=level.split,
        evaluations_per_epoch=config.evaluations_per_epoch,
        source=level.source or "not stated",
        confirm=level.confirm,
        past_evaluations=level.past_evaluations,
        also=tuple(also),
    )
