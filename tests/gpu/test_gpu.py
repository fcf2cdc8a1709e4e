"""What only a GPU can show of the loader. Run with: python -m pytest tests/gpu -rs"""

import pytest
import torch

from harness.measure.data.loader.augment import randaugment
from harness.measure.data.loader.waiting import Waiting, recorder

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def test_randaugment_leaves_cudas_generator_alone() -> None:
    torch.cuda.manual_seed(3)
    before = torch.cuda.get_rng_state()
    randaugment(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), [1, 2])
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_a_fast_loader_leaves_no_wait_and_the_host_is_bounded() -> None:
    device = torch.device("cuda")
    work = torch.randn(4096, 4096, device=device)
    waiting = Waiting(recorder(device))
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for images, _ in waiting.over((work, work) for _ in range(30)):
        for _ in range(10):
            images = images @ work  # noqa: PLW2901
    end.record()
    seconds = waiting.take_seconds()
    torch.cuda.synchronize()
    assert seconds < 0.1 * start.elapsed_time(end) / 1000
