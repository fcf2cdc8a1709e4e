"""How this machine is shared among the runs of a sweep: how many at once, and the cores and the GPU of each."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig

from harness.measure.config.schema import Config
from harness.measure.machine.device import resolve
from harness.measure.sweep.job import launcher_config
from harness.record.errors import BadInput


@dataclass
class LocalConfig:
    """conf/hydra/launcher/local.yaml; see there for each key."""

    name: str
    parallel: Any  # a number or "auto"
    order: str


def local_config(node: DictConfig) -> LocalConfig:
    """The launcher's node as typed data; raises BadInput in one line."""
    config = launcher_config(node, LocalConfig)
    if config.order not in ("longest", "given"):
        raise BadInput(f"hydra.launcher.order={config.order}: use longest or given")
    return config


@dataclass(frozen=True)
class Share:
    """What one of the processes has of the machine. gpu: for CUDA_VISIBLE_DEVICES, None on the CPU."""

    cores: tuple[int, ...]
    threads: int
    gpu: str | None


def processes_at_once(local: LocalConfig, configs: Sequence[Config]) -> int:
    """How many runs at a time: the number asked for, or for "auto" one a GPU and on the CPU one.

    Raises BadInput for anything else, and for several inside a group of processes that train one run together.
    """
    parallel = local.parallel
    grouped = any(int(os.environ.get(name, "1")) > 1 for name in ("WORLD_SIZE", "SLURM_NTASKS"))
    if parallel == "auto":
        on_gpu = any(config.device == "cuda" for config in map(resolve, configs))
        return max(1, len(visible_gpus())) if on_gpu and not grouped else 1
    if not isinstance(parallel, int) or isinstance(parallel, bool) or parallel < 1:
        raise BadInput(f"hydra.launcher.parallel={parallel}: give a number of runs at once above 0, or auto")
    if parallel > 1 and grouped:
        raise BadInput(f"hydra.launcher.parallel={parallel}: these processes train one run together; leave it at 1")
    return parallel


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [word.strip() for word in named.split(",") if word.strip()][: torch.cuda.device_count()]
    return [str(index) for index in range(torch.cuda.device_count())]


def shares(count: int) -> list[Share]:
    """The machine in `count` shares: whole cores, more than one process a core where there are fewer; GPUs in turn."""
    cores, gpus = sorted(os.sched_getaffinity(0)), visible_gpus()
    each = max(1, len(cores) // count)
    return [
        Share(
            cores=tuple(cores[(index * each + offset) % len(cores)] for offset in range(each)),
            threads=each,
            gpu=gpus[index % len(gpus)] if gpus else None,
        )
        for index in range(count)
    ]
