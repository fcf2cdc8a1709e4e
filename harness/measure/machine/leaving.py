"""The end of a process that has imported torch.

Python takes every module apart before it ends. With torch that costs half a second of a processor, and torch's threads
outlive a process group (DistributedDataParallel keeps it): Python's own end under them was twice seen to abort a
process whose run was complete (SIGABRT). Imports no torch.
"""

import atexit
import os
import sys
import threading
from typing import NoReturn

from harness.record.errors import EXIT_ERROR


def leave(code: int) -> NoReturn:
    """End this process with this exit code: threads are waited for, what is registered for the end runs, all is told.

    Output that cannot be written any more is an error, unless its reader has gone.
    """
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except BrokenPipeError:
            pass
        except OSError:
            code = code or EXIT_ERROR
    os._exit(code)
