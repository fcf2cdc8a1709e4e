"""TCP ports on loopback for tests that run beside each other."""

import contextlib
import os
import random
import socket

BELOW_THE_KERNELS_OWN = range(20_000, 32_000)
"""Linux takes ports from 32,768 on for whoever asks for any, so that one of these stays free until a test binds it."""


def two_ranks() -> list[dict[str, str]]:
    """The whole environments of two processes of one run on this machine."""
    (port,) = free_ports(1)
    return [os.environ | words for words in meeting(port)]


def meeting(port: int) -> list[dict[str, str]]:
    """What torchrun tells two processes of one run on this machine that meet at `port`."""
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [{**world, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in (0, 1)]


def free_ports(count: int) -> list[int]:
    """Different ports that nobody listens at; drawn, so that two processes of tests hardly ever meet."""
    with contextlib.ExitStack() as probes:
        found: list[int] = []
        for port in random.SystemRandom().sample(BELOW_THE_KERNELS_OWN, len(BELOW_THE_KERNELS_OWN)):
            probe = probes.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                return found
    raise OSError(f"no {count} ports are free between {BELOW_THE_KERNELS_OWN[0]} and {BELOW_THE_KERNELS_OWN[-1]}")
