"""Where the processes of one run meet, and how they wait there: aloud, not for ever, and with an ear for signals."""

import fcntl
import os
import socket
import struct
import sys
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from harness.measure.machine.signals import StopFlag
from harness.record.errors import BadInput, Interrupted

if TYPE_CHECKING:
    from torch.distributed import PrefixStore, TCPStore

SAY_AFTER_SECONDS = 10.0
_TRY_SECONDS = 1.0
_SIOCGIFADDR = 0x8915
"""Linux's request for the address of a network interface (netdevice(7))."""


def meet(rank: int, size: int, wait_seconds: float, stop: StopFlag | None) -> "PrefixStore":
    """The store that all `size` processes of this run share, once every one of them is there.

    Raises BadInput where MASTER_ADDR or MASTER_PORT is missing, the port is taken, or somebody does not come in time;
    Interrupted where a signal asks to stop meanwhile.
    """
    from torch.distributed import PrefixStore

    wait = _Wait(rank, size, wait_seconds, stop)
    host, port = _address(os.environ)
    store = PrefixStore(meeting_name(os.environ), _connect(host, port, wait))
    store.set(f"here/{rank}", "1")
    while missing := [other for other in range(size) if not store.check([f"here/{other}"])]:
        wait.again(f"{'process' if len(missing) == 1 else 'processes'} {', '.join(map(str, missing))}", host, port)
    return store


def meeting_name(environment: Mapping[str, str]) -> str:
    """What the processes of one start share and no others do: two runs that come to one address do not mix.

    torchrun may be started on each node by a step, or a login, of its own, so that Slurm's names differ there.
    """
    of_torchrun = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")
    of_slurm = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    names = of_torchrun if of_torchrun[0] in environment else of_slurm
    return ".".join(environment.get(name, "-") for name in names)


def choose_interface(environment: MutableMapping[str, str]) -> None:
    """Let gloo listen where the other nodes reach this one: at the interface from which MASTER_ADDR is reached.

    Left to itself gloo listens at the address of the host's own name, which on Debian and Ubuntu is often 127.0.1.1.
    GLOO_SOCKET_IFNAME set by the user wins. Raises OSError where there is no way to that address.
    """
    if "GLOO_SOCKET_IFNAME" in environment:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((environment["MASTER_ADDR"], 9))  # sends nothing; the system chooses where from
        own = probe.getsockname()[0]
        if own.startswith("127."):
            return  # all on one node
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # an interface without an address
                asked = struct.pack("256s", name.encode()[:15])
                if socket.inet_ntoa(fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, asked)[20:24]) == own:
                    environment["GLOO_SOCKET_IFNAME"] = name
                    return


class _Wait:
    """One process's patience."""

    def __init__(self, rank: int, size: int, seconds: float, stop: StopFlag | None) -> None:
        self._who, self._stop, self._seconds = f"process {rank} of {size}", stop, seconds
        self._began, self._said = time.monotonic(), False

    def again(self, whom: str, host: str, port: int) -> None:
        """Wait a little for `whom`; raises where the patience ends or a signal came."""
        waited = time.monotonic() - self._began
        if self._stop is not None and self._stop.signal_name is not None:
            raise Interrupted(f"{self._who}: {self._stop.signal_name} while waiting for {whom}; nothing was begun")
        if waited > self._seconds:
            raise BadInput(
                f"{self._who} waited {self._seconds:g} s for {whom} at {host}:{port}: start all processes together "
                "(srun, torchrun), or raise join_seconds"
            )
        if waited > SAY_AFTER_SECONDS and not self._said:
            print(f"harness: {self._who} waits for {whom} at {host}:{port}", file=sys.stderr, flush=True)
            self._said = True
        time.sleep(0.05)


def _address(environment: Mapping[str, str]) -> tuple[str, int]:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if not environment.get(name):
            raise BadInput(f"{name} is not set, but RANK and WORLD_SIZE are: start the processes with srun or torchrun")
    try:
        return environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
    except ValueError as error:
        raise BadInput(f"MASTER_PORT={environment['MASTER_PORT']}: give a port number") from error


def _connect(host: str, port: int, wait: _Wait) -> "TCPStore":
    from torch.distributed import DistError, TCPStore

    # torchrun's own process keeps the store; without it process 0 does.
    serves = os.environ["RANK"] == "0" and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    while True:
        try:
            return TCPStore(
                host, port, is_master=serves, timeout=timedelta(seconds=_TRY_SECONDS), wait_for_workers=False
            )
        except (DistError, RuntimeError) as error:
            if serves:
                raise BadInput(
                    f"{host}:{port}: cannot meet there ({str(error).splitlines()[0][:120]}); is another run at that "
                    "port? set MASTER_PORT to a free one"
                ) from error
        wait.again("process 0", host, port)
