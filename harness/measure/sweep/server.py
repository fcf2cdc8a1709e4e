"""The process that the runs of a parallel sweep are forked from. Imports no torch."""

import multiprocessing
from multiprocessing import forkserver

CONTEXT = multiprocessing.get_context("forkserver")


def begin() -> None:
    """Start it unless it is there. Its imports (`served.py`) take seconds; this does not wait for them.

    It ends with the last of the processes that know it.
    """
    CONTEXT.set_forkserver_preload(["harness.measure.sweep.served"])
    forkserver.ensure_running()
