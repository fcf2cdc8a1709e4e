"""One run in a process of its own: an element of a Slurm array, or one of several runs at once on this machine.

`python -m harness.measure.sweep.alone --parent PID --cores 0,1 --threads 2 KEY=VALUE...` is the second.
"""

import argparse
import json
import os
import signal
import sys
import traceback
from dataclasses import replace
from typing import Any

from harness.measure.machine.importing import uncollected
from harness.measure.machine.leaving import leave
from harness.measure.machine.output import make_lasting
from harness.measure.machine.signals import StopFlag, end_with
from harness.record.errors import EXIT_ERROR, EXIT_INTERRUPTED, HarnessError


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


def element(job: list[str]) -> None:
    """One run of a Slurm array, inside its job, and the end of its process: its exit code is what Slurm knows of it.

    submitit would pickle a result that nobody reads, and Python take torch apart for a second; and after an error on a
    GPU the end of NCCL's group would wait for the other processes, who wait for this one.
    """
    try:
        code = run_alone(job)
    except Exception:  # noqa: BLE001  # whatever a run ends with
        traceback.print_exc()
        code = EXIT_ERROR
    leave(code)


def main() -> int:
    """Take the share of the machine that the parent gave, and run."""
    parser = argparse.ArgumentParser(description="one run of a parallel sweep; use `harness train`")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--cores", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--search", type=json.loads)
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_args()
    os.sched_setaffinity(0, {int(core) for core in args.cores.split(",")})
    if not end_with(args.parent, signal.SIGTERM):  # a run is saved, not left without a watcher
        return EXIT_INTERRUPTED
    return run_alone(args.overrides, args.threads, requeues=False, search=args.search)


if __name__ == "__main__":
    leave(main())
