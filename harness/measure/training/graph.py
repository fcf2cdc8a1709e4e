"""A training step as one CUDA graph: at small sizes a GPU waits for its host to launch hundreds of kernels a step."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from harness.measure.training.recipe.optimiser import set_learning_rate

Update = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""Forward, backward and optimiser over a batch: images, targets and the images of the whole batch; gives the loss."""

Shape = tuple[torch.Size, torch.Size, int]

WARM_UP = 3
"""Steps of a shape before it is captured: kernels are chosen and memory is found there, which no capture may do."""


@dataclass(frozen=True)
class _Captured:
    """A graph, the memory that it reads a batch from, and the memory that it leaves the loss in."""

    graph: torch.cuda.CUDAGraph
    images: torch.Tensor
    targets: torch.Tensor
    loss: torch.Tensor


class GraphedUpdate:
    """Takes steps as `update` does, by replaying what was captured of it once a shape has come WARM_UP times.

    The steps before are steps of the training, and to capture takes none: nothing is trained twice or thrown away. The
    learning rate is read from memory, since a number would be frozen into the graph. One process, without a GradScaler:
    what the host decides within a step cannot be replayed. Follows torch's notes on CUDA graphs
    (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
    """

    def __init__(self, update: Update, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self._update, self._optimizer = update, optimizer
        self._lr = torch.zeros((), device=device)
        self._aside = torch.cuda.Stream(device)
        self._seen: Counter[Shape] = Counter()
        self._captured: dict[Shape, _Captured] = {}

    def __call__(self, images: torch.Tensor, targets: torch.Tensor, global_images: int, lr: float) -> torch.Tensor:
        """One step at the learning rate `lr`; the loss, a scalar on the device."""
        self._lr.fill_(lr)
        shape = (images.shape, targets.shape, global_images)
        if shape not in self._captured:
            self._seen[shape] += 1
            if self._seen[shape] <= WARM_UP:
                with self._reading_lr(lr, capturable=False):
                    return self._take_aside(images, targets, global_images)
            with self._reading_lr(lr, capturable=True):
                self._captured[shape] = self._capture(images, targets, global_images)
        set_learning_rate(self._optimizer, lr)  # told beside: the graph reads its own
        captured = self._captured[shape]
        captured.images.copy_(images)
        captured.targets.copy_(targets)
        captured.graph.replay()
        return captured.loss.clone()

    @contextmanager
    def _reading_lr(self, lr: float, *, capturable: bool) -> Iterator[None]:
        """The optimiser reads the learning rate from this object's memory; afterwards it holds the number again.

        So does a checkpoint, whose step may go on without a graph. AdamW asks to be called capturable; fused, it counts
        its steps on the device anyway.
        """
        groups = self._optimizer.param_groups
        before = [group.get("capturable") for group in groups]
        try:
            for group in groups:
                group["lr"] = self._lr
                if "capturable" in group:
                    group["capturable"] = capturable
            yield
        finally:
            for group, was in zip(groups, before, strict=True):
                if "capturable" in group:
                    group["capturable"] = was
            set_learning_rate(self._optimizer, lr)

    def _take_aside(self, images: torch.Tensor, targets: torch.Tensor, global_images: int) -> torch.Tensor:
        """A step without a graph, on a stream of its own, as captures have one."""
        current = torch.cuda.current_stream()
        self._aside.wait_stream(current)
        with torch.cuda.stream(self._aside):
            loss = self._update(images, targets, global_images)
        current.wait_stream(self._aside)
        return loss.clone()  # in this stream's memory: the other may use its own again

    def _capture(self, images: torch.Tensor, targets: torch.Tensor, global_images: int) -> _Captured:
        own_images, own_targets = torch.empty_like(images), torch.empty_like(targets)
        # One pool for all graphs: none needs what another left there.
        pool = next((captured.graph.pool() for captured in self._captured.values()), None)
        graph = torch.cuda.CUDAGraph()
        # What another thread may ask of CUDA meanwhile is no error of this capture.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            loss = self._update(own_images, own_targets, global_images)
        return _Captured(graph, own_images, own_targets, loss)
