"""The harness in a process of its own that starts at once: forked from a server that has imported torch.

Half of what a fresh `harness train` on a toy costs is its imports, three seconds of a processor each time. A process
from here is a real one in what a test looks at: its number and signals, descriptors, folder, environment, exit code,
and an end as that of the harness (`leave`). It is no fresh interpreter. What happens before or while torch is
imported, and what an environment does to an import (OMP_NUM_THREADS), is tested with `subprocess`.

`python -m tests.forked ARGUMENTS`, as `command` gives it, begins one for a shell or a Slurm job and stands for it: it
passes signals on, ends as the other does, and takes the other with it when it is killed.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, CompletedProcess, TimeoutExpired
from typing import IO, Any

from harness.measure.machine.importing import uncollected
from harness.measure.machine.leaving import leave
from harness.paths import ROOT

CLOSED = -4
"""For stdout or stderr: the process starts without that descriptor, as `>&-` in a shell."""

IMPORTED = (
    *("harness.cli", "harness.measure.run", "harness.measure.sweep.alone", "harness.measure.sweep.expand"),
    *("harness.measure.sweep.here", "harness.measure.sweep.parallel", "harness.measure.sweep.forecast"),
    *("harness.measure.data.small", "torch._dynamo", "tests.measure.faults"),
)
"""What the server has imported: all that a run on generated images needs, and nothing that starts a thread."""

SERVER = "TESTS_FORKED_SERVER"
"""Environment of a program that a test starts: the name of the test's server, in Linux's own space for such names."""

PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)
"""Signals that the one who stands for a process passes on to it."""

Stream = int | IO[Any] | None


class Forked:
    """A process begun as `python ARGUMENTS` would begin it ("-m", MODULE, ... or "-c", CODE, ...); used like a Popen.

    Text is UTF-8. stdin: by default nothing to read; bound: it is killed when whoever began it has ended; blocked:
    signals that it starts with blocked, by default those of this thread.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        stdin: Stream = DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
        bound: bool = False,
        blocked: Iterable[int] | None = None,
    ) -> None:
        self.args = list(map(str, arguments))
        self.returncode: int | None = None
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        given, ours = [], []
        for number, stream in enumerate((stdin, stdout, stderr)):
            if stream == CLOSED:
                continue
            if stream == PIPE:
                reading, writing = os.pipe()
                theirs, mine = (reading, writing) if number == 0 else (writing, reading)
                setattr(self, ("stdin", "stdout", "stderr")[number], os.fdopen(mine, "r" if number else "w"))
            elif stream == DEVNULL:
                theirs = os.open(os.devnull, os.O_RDWR)
            else:
                theirs = os.dup(number if stream is None else stream if isinstance(stream, int) else stream.fileno())
            given.append(number)
            ours.append(theirs)
        self._line, other = socket.socketpair()
        environment = dict(os.environ if env is None else env)
        order = {"arguments": self.args, "cwd": str(cwd), "environment": environment, "descriptors": given}
        own = signal.pthread_sigmask(signal.SIG_BLOCK, []) if blocked is None else blocked
        order |= {"bound": bound, "blocked": sorted(own)}
        socket.send_fds(_server(), [json.dumps(order).encode()], [other.fileno(), *ours])
        for descriptor in ours:
            os.close(descriptor)
        other.close()
        self._told = self._line.makefile("rb")
        self.pid = self._number()

    def _number(self) -> int:
        line = self._told.readline()
        if not line:
            raise RuntimeError("the server that forks the tests' processes has ended")
        return int(line)

    def poll(self) -> int | None:
        """Its exit code, minus the number of the signal that ended it, or None while it runs."""
        if self.returncode is None and select.select([self._line], [], [], 0)[0]:
            self.returncode = self._number()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._line], [], [], timeout)[0]:
                raise TimeoutExpired(self.args, timeout or 0)
            self.returncode = self._number()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it wrote into its pipes, once it has ended. Raises TimeoutExpired."""
        read = {name: _Reader(stream) for name in ("stdout", "stderr") if (stream := getattr(self, name)) is not None}
        if self.stdin is not None:
            self.stdin.close()
        self.wait(timeout)
        for reader in read.values():
            reader.join(timeout)
            if reader.is_alive():
                raise TimeoutExpired(self.args, timeout or 0)
        return tuple(read[name].text if name in read else "" for name in ("stdout", "stderr"))  # type: ignore[return-value]

    def send_signal(self, number: int) -> None:
        """A signal to it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class _Reader(threading.Thread):
    """Reads a pipe to its end and closes it."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self.text = ""
        self.start()

    def run(self) -> None:
        with self._stream:
            self.text = self._stream.read()


def run(arguments: Sequence[str | Path], *, timeout: float, check: bool = False, **how: Any) -> CompletedProcess[str]:
    """Begin a process (how: as for Forked) and wait for it; both its streams are read. Raises TimeoutExpired.

    Raises CalledProcessError where it fails and `check` is given.
    """
    process = Forked(arguments, **{"stdout": PIPE, "stderr": PIPE, **how})
    try:
        said, complained = process.communicate(timeout)
    except TimeoutExpired:
        process.kill()
        raise
    done = CompletedProcess(process.args, process.wait(), said, complained)
    if check:
        done.check_returncode()
    return done


def command(*arguments: str) -> tuple[str, dict[str, str]]:
    """For a shell's script: the words that begin such a process with `arguments` and wait for it, and what they need
    of the environment beside the tests' folder."""
    _server()
    return " ".join([sys.executable, "-m", "tests.forked", *arguments]), {SERVER: _name()}


@functools.cache
def _name() -> str:
    return f"tests.forked.{secrets.token_hex(8)}"


@functools.cache
def _server() -> socket.socket:
    """The socket at which the server takes orders. It ends with this process, at the latest when the socket closes."""
    if SERVER in os.environ:
        known = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        known.connect(f"\0{os.environ[SERVER]}")
        return known
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    named = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    named.bind(f"\0{_name()}")
    named.listen()
    passed = (theirs.fileno(), named.fileno())
    serving = f"from tests import forked; forked.become(forked.serve{passed})"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # numpy's threads begin when it is imported
    begin = [sys.executable, "-c", serving]
    server = subprocess.Popen(begin, cwd=ROOT, env=environment, stdin=DEVNULL, pass_fds=passed, start_new_session=True)
    theirs.close()
    named.close()
    atexit.register(_end, server)
    return ours


def _end(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    server.wait()


def serve(orders: int, named: int) -> dict[str, Any]:
    """Fork a process for every order, until the test's process has ended. Returns in a forked process: its order.

    orders: the descriptor of the socket that the test's process writes to; named: of the one that others connect to.
    """
    with uncollected():
        for name in IMPORTED:
            importlib.import_module(name)
        from harness.measure.config.compose import compose

        compose(["data=fake", "model=resnet18"])  # the first one makes the tables of Hydra's grammar
    gc.freeze()  # or every process would copy what it looks through for garbage
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would be missing in every process forked from here"
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # until a forked process has the mask it was ordered with
    listening = socket.socket(fileno=named)
    givers = {orders: socket.socket(fileno=orders)}  # by descriptor, as those that run
    running: dict[int, tuple[int, socket.socket, bool]] = {}  # by the descriptor that tells when a process has ended
    while True:
        bound = {line.fileno(): pid for pid, line, is_bound in running.values() if is_bound}
        for descriptor in select.select([*bound, named, *givers, *running], [], [])[0]:
            if descriptor == named:
                connected = listening.accept()[0]
                if _user(connected) == os.getuid():  # others of this machine can find the name, too
                    givers[connected.fileno()] = connected
                continue
            if descriptor in bound:
                os.kill(bound[descriptor], signal.SIGKILL)  # who began it has ended
                continue
            if descriptor in running:
                pid, line, _ = running.pop(descriptor)
                os.close(descriptor)
                _tell(line, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                line.close()
                continue
            text, given, _, _ = socket.recv_fds(givers[descriptor], 1 << 20, 4)
            if not text and descriptor == orders:
                sys.exit()
            if not text:
                givers.pop(descriptor).close()
                continue
            order, line = json.loads(text), socket.socket(fileno=given[0])
            if pid := os.fork():
                _tell(line, pid)
                running[os.pidfd_open(pid)] = (pid, line, order["bound"])
                for one in given[1:]:
                    os.close(one)
                continue
            for number, theirs in zip(order["descriptors"], given[1:], strict=True):
                os.dup2(theirs, number)
            lines = [other.fileno() for _, other, _ in running.values()]
            os.closerange(3, max(given[-1], named, *givers, *running, *lines) + 1)
            return dict(order)


def _user(connected: socket.socket) -> int:
    """The number of the user at the other end."""
    told = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", told)[1])


def _tell(line: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # whoever asked for the process has ended
        line.sendall(f"{number}\n".encode())


def become(order: Mapping[str, Any]) -> None:
    """Take the order's folder, environment, streams, signals and words, and run them as the interpreter's own."""
    signal.pthread_sigmask(signal.SIG_SETMASK, order["blocked"])
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    for number in {0, 1, 2} - set(order["descriptors"]):
        os.close(number)
    sys.stdin, sys.stdout, sys.stderr = (_stream(number) for number in (0, 1, 2))  # type: ignore[assignment]
    option, what, *words = order["arguments"]
    sys.path[0] = order["cwd"]
    try:
        if option == "-m":
            sys.argv[1:] = words
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.argv = [option, *words]
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as left:
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
        leave(left.code if isinstance(left.code, int) else int(left.code is not None))
    except Exception:  # noqa: BLE001  # whatever a program ends with
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        leave(1)
    leave(0)


def _stream(number: int) -> IO[str] | None:
    """What Python makes of a descriptor when it starts."""
    try:
        os.fstat(number)
    except OSError:
        return None
    errors = "backslashreplace" if number == 2 else "strict"
    lines = number == 2 or os.isatty(number)
    return open(
        number, "w" if number else "r", encoding="utf-8", errors=errors, buffering=1 if lines else -1, closefd=False
    )


def stand_for(arguments: Sequence[str]) -> None:
    """Begin a process, pass on what is told to this one, and end as it ends. A "-u" before the words says nothing."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # what comes now waits until it can be passed on
    words = arguments[1:] if arguments[0] == "-u" else arguments
    begun = Forked(words, cwd=Path.cwd(), stdin=0, bound=True, blocked=blocked)

    def pass_on(told: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(begun.pid, told)

    for each in PASSED_ON:
        signal.signal(each, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    if (code := begun.wait()) >= 0:
        sys.exit(code)
    if (number := -code) != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    stand_for(sys.argv[1:])
