"""Runs one after the other in this process."""

import sys
import traceback
from collections.abc import Sequence

from harness.measure.machine.signals import StopFlag
from harness.measure.run import run
from harness.measure.sweep.job import Ended, Job
from harness.record.errors import EXIT_ERROR, EXIT_INTERRUPTED, HarnessError


def run_here(jobs: Sequence[Job], stop: StopFlag, *, raises: bool) -> list[Ended]:
    """Run them in order; a signal keeps the others from running. So does one that fails where `raises` says so.

    Raises then what that run raised.
    """
    ended: list[Ended] = []
    for job in jobs:
        ended.append(run_one(job, stop, raises=raises))
        if ended[-1].code == EXIT_INTERRUPTED:
            break
    return ended


def run_one(job: Job, stop: StopFlag, *, raises: bool = False) -> Ended:
    """One run in this process. `raises`: its error is the caller's affair."""
    try:
        result = run(job.config, overrides=job.overrides, stop=stop, search=job.search)
        return Ended(job, result.exit_code, result.folder)
    except Exception as error:
        if raises:
            raise
        if not isinstance(error, HarnessError):
            traceback.print_exc()
        code = error.exit_code if isinstance(error, HarnessError) else EXIT_ERROR
        ended = Ended(job, code, error=str(error) or type(error).__name__)
        print(f"harness: {ended.line}", file=sys.stderr)
        return ended
