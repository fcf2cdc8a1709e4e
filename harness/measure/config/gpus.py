"""The GPUs whose hours and memory are forecast (`budget.gpu`)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """peak: dense 16-bit tensor FLOP/s; memory: bytes."""

    peak_flops_per_second: float
    memory_bytes: int


GPUS = {
    "V100": Gpu(125e12, 32 * 10**9),
    "A100": Gpu(312e12, 80 * 10**9),
    "L40S": Gpu(362e12, 48 * 10**9),
    "H100": Gpu(989e12, 80 * 10**9),
    "H200": Gpu(989e12, 141 * 10**9),
    "B200": Gpu(2250e12, 180 * 10**9),
}
"""Peaks by NVIDIA's data sheets (SXM where there are several; without sparsity).

Memories, the largest where there are several, as public tables have it: glennklockwood.com/garden/processors and
hmc-tech.com/gpus. The makers' own sheets were not read. B200: 192 GB there; 180 is the cautious figure.
"""
