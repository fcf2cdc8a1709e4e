"""The machine: device, precision, memory format, malloc, seeds, and what NVML says of energy."""

import ctypes
import os
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from harness.measure.config.schema import Config
from harness.record.errors import BadInput
from harness.record.provenance import cpu_model

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
# glibc's mallopt parameters (malloc.h): keep big buffers instead of returning them to the kernel at every step.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


@dataclass(frozen=True)
class Machine:
    """Where a run computes. All choices are resolved: nothing here says "auto"."""

    device: torch.device
    precision: str
    channels_last: bool
    fused_optimizer: bool

    @property
    def memory_format(self) -> torch.memory_format:
        """torch's name for the layout of images and weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which a forward pass runs."""
        if (dtype := _AUTOCAST.get(self.precision)) is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=dtype)

    @property
    def name(self) -> str:
        """The device's product name."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else cpu_model()

    def synchronise(self) -> None:
        """Wait for queued kernels, so that a clock reads what was done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def resolve(config: Config) -> Config:
    """Replace every "auto" by what this machine uses: the choice is part of the record.

    Raises BadInput for a device or a precision that this machine lacks.
    """
    kind = config.device if config.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cuda" and not torch.cuda.is_available():
        raise BadInput(
            "device=cuda: torch sees no GPU here; use device=cpu, or check the driver and CUDA_VISIBLE_DEVICES"
        )
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if kind == "cuda" and has_bf16_kernels(kind) else "fp32"
    if precision in ("fp16", "tf32") and kind == "cpu":
        raise BadInput(f"precision={precision}: only on a GPU; use fp32 or bf16 on the CPU")
    fused = (str(kind == "cuda") if config.fused_optimizer == "auto" else config.fused_optimizer).lower()
    if config.cuda_graph:
        _refuse_what_no_graph_holds(config, kind, precision, fused)
    return replace(
        config,
        device=kind,
        precision=precision,
        memory_format="channels_last" if config.memory_format == "auto" else config.memory_format,
        fused_optimizer=fused,
    )


def _refuse_what_no_graph_holds(config: Config, kind: str, precision: str, fused: str) -> None:
    """A CUDA graph repeats what the host launched once: what the host decides anew at every step is not in it."""
    if kind != "cuda":
        raise BadInput("cuda_graph=true: only on a GPU; leave it off here")
    if config.compile:
        raise BadInput("cuda_graph=true: not with compile=true, nobody has tried both together; leave one of them off")
    if precision == "fp16":
        raise BadInput("cuda_graph=true: not with precision=fp16, whose scaler asks the host at each step; use bf16")
    if fused != "true" or config.recipe.optimizer == "rmsprop":
        raise BadInput(
            "cuda_graph=true: only with fused kernels of the optimiser (sgd, nesterov, adamw; "
            "fused_optimizer=true), which read the learning rate from memory; leave it off"
        )


def has_bf16_kernels(kind: str) -> bool:
    """Whether bf16 is fast: on a GPU that has it, on a processor for which oneDNN has kernels (AVX-512, say)."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # torch's own tests ask so; no public name tells
    except AttributeError:  # a torch without oneDNN, whose kernels are the fast ones
        return False


def remark(config: Config) -> str | None:
    """What of a resolved config this machine does slowly; None where there is nothing to say."""
    if config.precision != "bf16" or has_bf16_kernels(config.device):
        return None
    return "precision=bf16: no fast bf16 kernels for this processor, so a step takes several times longer than in fp32"


def prepare(config: Config, local_rank: int) -> Machine:
    """Set up this process for a resolved config: malloc, threads, kernels."""
    tune_malloc()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = own_device(config.device, local_rank)
    if device.type == "cuda":
        if config.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its first call
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = not config.deterministic
        torch.backends.cuda.matmul.allow_tf32 = config.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = config.precision == "tf32"
    torch.use_deterministic_algorithms(config.deterministic)
    return Machine(device, config.precision, config.memory_format == "channels_last", config.fused_optimizer == "true")


def own_device(kind: str, local_rank: int) -> torch.device:
    """This process's device; `kind` is "cpu" or "cuda". The one place that chooses a GPU.

    A site shows every process all GPUs of its node (process n takes the n-th), or shows each its own alone
    (--gpus-per-task, --gpu-bind=single: device 0 on every rank), or binds nothing and leaves the choice to torchrun
    (again the n-th). Raises BadInput where more processes than GPUs see the same ones.
    """
    if kind != "cuda":
        return torch.device("cpu")
    visible = torch.cuda.device_count()
    if visible == 1:
        return torch.device("cuda", 0)
    if local_rank >= visible:
        raise BadInput(
            f"process {local_rank} of this node sees {visible} GPUs, and each needs one: start {visible} processes, "
            "or bind a GPU to each with --gpus-per-task=1"
        )
    return torch.device("cuda", local_rank)


def tune_malloc() -> bool:
    """Let glibc keep freed memory (1.05-1.6x on CPU steps and loaders); False where the C library is another."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, (1 << 31) - 1), (_M_TOP_PAD, 64 << 20))
    accepted = [mallopt(parameter, value) == 1 for parameter, value in settings]  # all three, whatever the first says
    return all(accepted)


def seed_everything(seed: int) -> None:
    """Seed every generator of this process. Data order and augmentation have keys of their own (data/keyed.py)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def energy_counter(device: torch.device) -> Callable[[], float] | None:
    """A function that reads the joules the GPU has used since some origin, or None where nothing tells.

    They are those of the whole GPU, whoever used it: ask `alone_on` beside it.
    """
    if (nvml := nvml_handle(device)) is None:
        return None
    library, handle = nvml
    try:
        library.nvmlDeviceGetTotalEnergyConsumption(handle)
    except library.NVMLError:
        return None
    return lambda: library.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000  # NVML counts millijoules


def alone_on(device: torch.device) -> bool:
    """Whether at most one process, this one, computes on the GPU now; False where nothing tells."""
    if (nvml := nvml_handle(device)) is None:
        return False
    library, handle = nvml
    try:
        return len(library.nvmlDeviceGetComputeRunningProcesses(handle)) <= 1
    except library.NVMLError:
        return False


def nvml_handle(device: torch.device) -> tuple[Any, Any] | None:
    """NVML and its handle of a GPU; None on a CPU and where NVML is not there."""
    if device.type != "cuda":
        return None
    with suppress(ImportError):
        import pynvml

        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            return pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    return None
