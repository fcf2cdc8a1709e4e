"""What the process that runs are forked from (`server.py`) does first: torch is imported once, for all of them.

Nothing here starts a thread or asks for a GPU: a process forked after that could not use either. What stops runs does
not stop the server, which tells how they end; it reaches them as soon as `StopFlag` lets it through.
"""

import signal

from harness.measure.machine.importing import uncollected
from harness.measure.machine.signals import STOP_SIGNALS

signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
with uncollected():
    import harness.measure.config.compose
    import harness.measure.run  # noqa: F401
