"""How a process begins that this one has forked for a share of its work."""

import os
import signal

import torch

from harness.measure.machine.device import tune_malloc
from harness.measure.machine.signals import end_with


def enter_worker(parent: int) -> None:
    """In a fresh worker: one thread, tuned malloc, deaf to the signals that ask the main process to stop."""
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    if not end_with(parent, signal.SIGKILL):  # no orphans when the main process is killed
        os._exit(1)
    torch.set_num_threads(1)
    tune_malloc()
