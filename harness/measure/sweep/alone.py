"""One run in a process of its own: an element of a Slurm array, or one of several runs at once on this machine."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.measure.machine.importing import uncollected
from harness.measure.machine.leaving import leave
from harness.measure.machine.output import make_lasting
from harness.measure.machine.signals import StopFlag
from harness.record.errors import HarnessError

if TYPE_CHECKING:
    from harness.measure.sweep.local import Share


def run_alone(
    overrides: list[str],
    threads: int | None = None,
    *,
    requeues: bool = True,
    search: dict[str, Any] | None = None,
) -> int:
    """Run it and return the exit code.

    threads: where the config leaves them open; requeues: see StopFlag; search: see Job.
    """
    make_lasting()
    stop = StopFlag(requeues=requeues).install()  # before torch is imported, which takes seconds
    with uncollected():
        from harness.measure.config.compose import compose
        from harness.measure.run import run

    try:
        config = compose(overrides)
        if config.threads is None and threads is not None:
            config = replace(config, threads=threads)
        return run(config, overrides=overrides, stop=stop, search=search).exit_code
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)
        return error.exit_code


def run_beside(
    overrides: list[str], share: "Share", log: Path, environment: Mapping[str, str], search: dict[str, Any] | None
) -> None:
    """Run it in this process, which the server forked, on its share of the machine; all that is said goes to `log`.

    Ends the process with the exit code. Ctrl-C at a terminal comes to the parent alone, which passes it on once. When
    the parent ends, the run saves and ends too: it is not left without a watcher.
    """
    os.setsid()
    with open(log, "ab") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.sched_setaffinity(0, share.cores)
    threading.Thread(target=_follow_parent, name="parent", daemon=True).start()
    leave(run_alone(overrides, share.threads, requeues=False, search=search))


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "forked for another process"
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
