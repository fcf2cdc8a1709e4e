"""One process per GPU: who am I, and the few collectives the loop needs.

Ranks come from torchrun or from `srun`; without either there is one process and nothing here touches torch.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from harness.measure.machine import rendezvous
from harness.measure.machine.signals import StopFlag
from harness.record.errors import BadInput, HarnessError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.distributed import Store
    from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")

RENDEZVOUS_PORTS = (15_000, 17_000)
"""First port and number of ports for the rendezvous of a Slurm step: a step of a job has a port of its own. All lie
below 32,768, from where Linux hands out ports to whoever asks for any."""


STEP_STRIDE = 7919
"""A prime: neighbouring jobs and the steps of one job meet at different ports."""


BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
"""By device. Tensors of the host go through gloo there too: to ask who wants to stop must not wait for the GPU."""


@dataclass(frozen=True)
class World:
    """This process among its peers; `local_rank` counts within a node."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """True on the one process that writes files."""
        return self.rank == 0


_STORES: list["Store"] = []
_LOST: list[World] = []
_TOGETHER: list[str] = []
"""What this process is at that others take part in: there it may wait for them, deaf to signals."""


def join(
    device_kind: str, *, wait_seconds: float = 600.0, collective_seconds: float = 1800.0, stop: StopFlag | None = None
) -> World:
    """Meet the other processes, if there are any; `device_kind` is "cpu" or "cuda". Once met, always the same world.

    Waits `wait_seconds` for the others; no collective then takes longer than `collective_seconds`.
    Raises BadInput where the others cannot be met, Interrupted where `stop` hears a signal meanwhile, HarnessError
    where an earlier run of this process lost them.
    """
    world = find_world(os.environ)
    if world.size == 1:
        return world
    from torch import distributed

    if _LOST:
        raise HarnessError("the other processes were lost in an earlier run of this sweep; start it again, it resumes")
    if distributed.is_initialized():
        _listen(stop, device_kind)
        return world
    if "RANK" not in os.environ:
        export_rendezvous(os.environ, world)
    store = rendezvous.meet(world.rank, world.size, wait_seconds, stop)
    _STORES.append(store.clone())  # to leave word: nobody waits long for that
    limit = timedelta(seconds=collective_seconds)
    # NCCL's first exchange goes through the store, and rank 0 may come to it seconds after the others.
    store.set_timeout(limit)
    with suppress(OSError):
        rendezvous.choose_interface(os.environ)
    distributed.init_process_group(
        BACKENDS[device_kind], store=store, rank=world.rank, world_size=world.size, timeout=limit
    )
    _listen(stop, device_kind)
    return world


def _listen(stop: StopFlag | None, device_kind: str) -> None:
    if stop is not None:
        stop.watch(lambda: bool(_TOGETHER), may_spin=device_kind == "cuda")


@contextmanager
def _together(what: str) -> Iterator[None]:
    """Around everything in which this process may wait for others."""
    _TOGETHER.append(what)
    try:
        yield
    finally:
        _TOGETHER.pop()


def lose(world: World) -> None:
    """Part from the others for good: what they still wait for ends at once, or with this process.

    NCCL's group is left as it is. To destroy it is an exchange with the other processes of the node, who wait in gloo
    for this one; when this process ends, gloo's connections break, and they hear.
    """
    if world.size > 1 and not _LOST:
        from torch import distributed

        if distributed.is_initialized():
            _LOST.append(world)
            if "nccl" not in distributed.get_backend_config():
                distributed.destroy_process_group()


@contextmanager
def lost_on_error(world: World) -> Iterator[None]:
    """Part from the others after an error that they may not have; a BadInput is one that all processes raise.

    That holds until training begins: there a file may be bad that one process alone reads (`stages/ending.py`).
    """
    try:
        yield
    except BadInput:
        raise
    except BaseException:
        lose(world)
        raise


def tell(reason: str) -> None:
    """Leave word for the others why this process is about to end, where they look when their connection breaks."""
    for store in _STORES:
        with suppress(RuntimeError):  # the process that keeps the word may have ended itself
            store.set("reason", reason)


def told() -> str | None:
    """The word that another process left, None where there is none or nobody keeps it any more."""
    for store in _STORES:
        with suppress(RuntimeError):
            if store.check(["reason"]):
                return str(store.get("reason").decode())
    return None


def sum_integers(values: list[int], world: World) -> list[int]:
    """The element-wise sum over all ranks, exact (int64; a sum above 2^63 - 1 is not supported)."""
    if world.size == 1:
        return list(values)
    import torch
    from torch import distributed

    total = torch.tensor(values, dtype=torch.int64)
    with _together("a sum"):
        distributed.all_reduce(total)
    return [int(value) for value in total.tolist()]


def barrier(world: World) -> None:
    """Return when every rank has come here."""
    sum_integers([0], world)


def gather_objects(value: T, world: World) -> list[T]:
    """Everybody's `value`, by rank, on every rank (pickled; for small things such as RNG states)."""
    if world.size == 1:
        return [value]
    from torch import distributed

    everybody: list[T] = [value] * world.size
    with _together("an exchange"):
        distributed.all_gather_object(everybody, value)
    return everybody


def agree(facts: Mapping[str, str], world: World) -> None:
    """Every process shows what it is about to do; raises BadInput on all of them where one value differs."""
    everybody = gather_objects(dict(facts), world)
    for name in facts:
        values = [one.get(name, "none") for one in everybody]
        if len(set(values)) > 1:
            told = ", ".join(f"process {rank} has {value}" for rank, value in enumerate(values))
            raise BadInput(f"the processes of this run differ in their {name}: {told}; start them with one command")


def share_refusal(refusal: HarnessError | None, world: World) -> None:
    """Raise on every process what one of them was refused with."""
    for heard in gather_objects(refusal, world):
        if heard is not None:
            raise heard


def mean(values: "torch.Tensor", world: World) -> "torch.Tensor":
    """The element-wise mean over all ranks, float64 on the CPU."""
    values = values.double().cpu()
    if world.size > 1:
        from torch import distributed

        with _together("a mean"):
            distributed.all_reduce(values)
    return values / world.size


def parallel(network: "nn.Module", world: World) -> "nn.Module":
    """`network` with gradients averaged over the ranks at each backward pass; itself where there is one process."""
    if world.size == 1:
        return network
    from torch.nn.parallel import DistributedDataParallel

    with _together("the first exchange of weights"):
        return DistributedDataParallel(network)


def gradients_shared(network: "nn.Module", now: bool) -> AbstractContextManager[None]:
    """The context of a backward pass: without `now`, gradients pile up here until a later pass shares them all."""
    from torch.nn.parallel import DistributedDataParallel

    return _sharing(network, now) if isinstance(network, DistributedDataParallel) else nullcontext()


@contextmanager
def _sharing(network: "DistributedDataParallel", now: bool) -> Iterator[None]:
    with _together("a step"), nullcontext() if now else network.no_sync():
        yield


def share_buffers(network: "nn.Module", world: World) -> None:
    """Give every rank rank 0's buffers (BatchNorm's running statistics), so that all evaluate one network."""
    if world.size > 1:
        from torch import distributed

        with _together("an exchange of buffers"):
            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)


def find_world(environment: Mapping[str, str]) -> World:
    """Read rank, size and local rank from torchrun's variables, else from those of a Slurm step of several tasks.

    SLURM_STEP_NUM_TASKS exists only under `srun`; the batch script itself also has SLURM_PROCID and SLURM_NTASKS.

    Raises BadInput where they are incomplete or no numbers.
    """
    try:
        if "RANK" in environment and "WORLD_SIZE" in environment:
            size = int(environment["WORLD_SIZE"])
            return World(int(environment["RANK"]), size, int(environment.get("LOCAL_RANK", environment["RANK"])))
        if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
            size = int(environment["SLURM_STEP_NUM_TASKS"])
            return World(int(environment["SLURM_PROCID"]), size, int(environment["SLURM_LOCALID"]))
    except (KeyError, ValueError) as error:
        raise BadInput(f"cannot tell this process's rank ({error}): start it with srun or torchrun") from error
    return World()


def export_rendezvous(environment: MutableMapping[str, str], world: World) -> None:
    """Set what torch's env:// rendezvous reads. MASTER_ADDR and MASTER_PORT set by the user win."""
    first, count = RENDEZVOUS_PORTS
    step = int(environment.get("SLURM_STEP_ID", "0"))
    port = first + (int(environment["SLURM_JOB_ID"]) + STEP_STRIDE * step) % count
    environment.setdefault("MASTER_PORT", str(port))
    if "MASTER_ADDR" not in environment:
        alone = environment.get("SLURM_STEP_NUM_NODES") == "1"
        environment["MASTER_ADDR"] = "127.0.0.1" if alone else _first_node_address(environment["SLURM_STEP_NODELIST"])
    environment.update(RANK=str(world.rank), WORLD_SIZE=str(world.size), LOCAL_RANK=str(world.local_rank))


def _first_node_address(nodes: str) -> str:
    """NodeAddr of the first node. Its name need not resolve, and a name that does not hangs torch for 30 minutes."""
    first = _scontrol("show", "hostnames", nodes).split()[0]
    for word in _scontrol("-o", "show", "node", first).split():
        if word.startswith("NodeAddr="):
            return word.removeprefix("NodeAddr=")
    raise BadInput(f"scontrol gives no address for node {first}: set MASTER_ADDR to one that the other nodes reach")


def _scontrol(*arguments: str) -> str:
    try:
        return subprocess.run(["scontrol", *arguments], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise BadInput(f"cannot ask Slurm for the first node's address ({error}): set MASTER_ADDR") from error
