"""How a run ends: with an outcome and its record, interrupted, or left open with the reason in state.json."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.measure.config.schema import Config
from harness.measure.machine import distributed
from harness.measure.stages.summary import summarise
from harness.measure.training import checkpoint
from harness.measure.training.loop import Diverged, Loop, Stopped
from harness.measure.training.state import Training
from harness.record.errors import (
    EXIT_DIVERGED,
    EXIT_DONE,
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    BadInput,
    HarnessError,
    OutOfMemory,
)
from harness.record.folders.writer import RunWriter

_EXIT_CODES = {
    "reached": EXIT_DONE,
    "budget_exhausted": EXIT_DONE,
    "diverged": EXIT_DIVERGED,
    "out_of_memory": EXIT_ERROR,  # in records of before it left runs open
    "interrupted": EXIT_INTERRUPTED,
}

OUT_OF_MEMORY = (
    "out of memory; start it again and it resumes, where another program had taken the memory; else lower "
    "recipe.batch_size, raise recipe.accumulation_steps, leave cuda_graph off or take more GPUs"
)
"""It says nothing of the plan, so it is no outcome: nothing is sealed, and no later start skips the run."""


@dataclass(frozen=True)
class Result:
    """What became of a run."""

    outcome: str
    folder: Path

    @property
    def exit_code(self) -> int:
        """The process's exit code for this outcome."""
        return _EXIT_CODES[self.outcome]


@dataclass(frozen=True)
class Ending:
    """How the training ended. diverged_at_step: the first step whose loss is no number; remedy: what to do about it."""

    outcome: str
    diverged_at_step: int | None = None
    remedy: str = ""


def train(training: Training) -> Ending:
    """Train to the end.

    Raises OutOfMemory where the memory does not suffice, BadInput where deterministic=true asks for a kernel that is
    not there, any other error as it is.

    Who starts the run again after an error finds how far it was, and the reason, in state.json.
    """
    writer = training.writer
    try:
        return Ending(Loop(training).run())
    except Diverged as error:
        return Ending("diverged", error.step, str(error))
    except Stopped:
        if writer is not None:
            writer.state("interrupted", **checkpoint.facts(training))
        return Ending("interrupted")
    except Exception as error:
        short = _short_of_memory(error)
        if isinstance(error, BadInput):  # of a file that this process alone has read
            distributed.tell(str(error))
            distributed.lose(training.world)
        heard = None if short or isinstance(error, HarnessError) else distributed.told()
        last_line = f"{type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error) else ''}"
        operator, undeterministic, _ = str(error).partition(" does not have a deterministic implementation")
        if undeterministic:
            last_line = f"deterministic=true: there is no such kernel of {operator}; leave it false, or use device=cpu"
        elif heard is not None:
            last_line = heard
        if writer is not None:
            with suppress(HarnessError):  # the disk may be what failed; the error itself is on its way up
                why = OUT_OF_MEMORY if short else last_line
                writer.state("failed", **{**checkpoint.facts(training), "error": why})
        if short:
            raise OutOfMemory(f"{training.folder}: {OUT_OF_MEMORY}") from error
        if undeterministic:
            raise BadInput(last_line) from error
        if heard is not None:
            raise HarnessError(f"another process of this run: {heard}") from error
        raise


def conclude(training: Training, ending: Ending, search: dict[str, Any] | None) -> Result:
    """Seal the record, or leave the interrupted run to its next start; say what became of it.

    Raises HarnessError where the record cannot be written.
    """
    if ending.outcome == "interrupted":
        _leave_interrupted(training)
    elif training.writer is not None:
        summary = summarise(training, outcome=ending.outcome, diverged_at_step=ending.diverged_at_step)
        if search is not None:
            summary |= {"kind": "search", "search": search}
        training.writer.finish(summary)
        training.tracker.finish(summary, training.folder)
    if ending.remedy:
        training.display.say(ending.remedy)  # once the record is sealed: what is said decides nothing
    training.display.say(f"{ending.outcome.replace('_', ' ')}: {training.folder}")
    return Result(ending.outcome, training.folder)


def _leave_interrupted(training: Training) -> None:
    """Nobody leaves before rank 0 has asked for a requeue; and the signal may have come to another rank first.

    All is saved by now: another that was told a second time to end, and has left, takes nothing from the run.
    """
    training.tracker.interrupted()
    heard = [training.stop.signal_name]
    with suppress(RuntimeError):
        heard = distributed.gather_objects(training.stop.signal_name, training.world)
    if training.world.is_main:
        training.stop.signal_name = next((name for name in heard if name is not None), None)
        training.stop.requeue_if_running()
    with suppress(RuntimeError):
        distributed.barrier(training.world)


@contextmanager
def reason_left(config: Config, folder: Path, writer: RunWriter | None) -> Iterator[None]:
    """Leave the reason in state.json where a run ends before its first step: no memory, a checkpoint that fits no more.

    Raises OutOfMemory in place of the library's own error.
    """
    try:
        yield
    except Exception as error:
        short = not isinstance(error, HarnessError) and _short_of_memory(error)
        if writer is not None and (short or isinstance(error, BadInput)):
            known = {"model": config.model.name, "seed": config.seed, "planned_epochs": config.budget.epochs}
            with suppress(HarnessError):
                writer.fail(OUT_OF_MEMORY if short else str(error), **known)
        if short:
            raise OutOfMemory(f"{folder}: {OUT_OF_MEMORY}") from error
        raise


_NO_MEMORY = (
    "DefaultCPUAllocator",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""How torch, CUDA, cuBLAS and cuDNN say it where torch raises no error of its own type: a GPU that others use too."""


def _short_of_memory(error: Exception) -> bool:
    """Whether memory is what this process lacks, or another of this run, to which the connection broke; tells them."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in text for words in _NO_MEMORY):
        distributed.tell(OUT_OF_MEMORY)
        return True
    return distributed.told() == OUT_OF_MEMORY
