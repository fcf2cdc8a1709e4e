"""The measuring room's front door: what a notebook needs. Each function imports what it needs when it is called."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from harness.measure.bill.count import Bill
    from harness.measure.config.schema import Config
    from harness.measure.stages.ending import Result

__all__ = ["compose", "count", "train"]


def count(network: "str | nn.Module", *, resolution: int = 224) -> "Bill":
    """The MACs per image of an architecture of the zoo (by name, at 1000 classes) or of your own network.

    `resolution` is the side of the image in pixels. Raises BadInput for a name that the zoo does not have or a side
    that is too small for it, UncountedOperator where a network multiplies in a way that has no rule.
    """
    from harness.measure.bill.count import bill
    from harness.measure.bill.report import counted

    return counted(network, resolution=resolution) if isinstance(network, str) else bill(network, resolution=resolution)


def compose(*overrides: str) -> "Config":
    """The config of one run, from the words of `harness train`; raises BadInput in one line."""
    from harness.measure.config.compose import compose

    return compose(list(overrides))


def train(*overrides: str) -> "Result":
    """One measured run in this process, from the words of `harness train`: its outcome and its run folder.

    A run that has finished already is not run again. Raises BadInput before anything is written.
    """
    from harness.measure.config.compose import compose
    from harness.measure.run import run

    return run(compose(list(overrides)), overrides=overrides)
