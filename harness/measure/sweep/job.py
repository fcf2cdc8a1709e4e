"""What a sweep consists of, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.measure.config.schema import Config
from harness.record.errors import EXIT_DONE, BadInput

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One run that was asked for: its overrides, without the launcher's, and the config they compose to.

    search: what the record of a run of `harness search` says of the search, None for any other.
    """

    overrides: list[str]
    config: Config
    search: dict[str, Any] | None = None


@dataclass(frozen=True)
class Ended:
    """What became of a job. code: an exit code; folder: its run folder, None where none was made; error: in a line."""

    job: Job
    code: int
    folder: Path | None = None
    error: str | None = None

    @property
    def line(self) -> str:
        """The overrides and the error, as the list of failed runs shows them."""
        return f"{' '.join(self.job.overrides)}: {self.error}"


def launcher_config(node: DictConfig, kind: type[T]) -> T:
    """The launcher's node as typed data; raises BadInput in one line."""
    try:
        return cast(T, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), node)))
    except OmegaConfBaseException as error:
        raise BadInput(f"hydra.launcher: {str(error).splitlines()[0]}") from error


def exit_code(ended: Sequence[Ended]) -> int:
    """The exit code of a sweep: that of its first run, in the order asked for, that did not end with 0."""
    return next((one.code for one in ended if one.code != EXIT_DONE), EXIT_DONE)
