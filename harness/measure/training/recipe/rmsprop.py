"""RMSprop as TensorFlow has it, which is what the papers that say RMSprop trained with; torch's own rule is another."""

from collections.abc import Iterable
from typing import Any

import torch


class TensorFlowRMSprop(torch.optim.Optimizer):
    """s += (1 - alpha)(g^2 - s); m = momentum * m + lr * g / sqrt(s + epsilon); w -= m, with s = 1 at first.

    torch.optim.RMSprop has epsilon outside the root and s = 0 at first: its first steps are 1 / sqrt(1 - alpha) times
    the learning rate in every weight, however small the gradient, and a published epsilon means something else.
    Weight decay is L2: it adds to the gradient.
    """

    def __init__(
        self, params: Iterable[Any], *, lr: float, momentum: float, epsilon: float, alpha: float = 0.9
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "epsilon": epsilon, "alpha": alpha, "weight_decay": 0.0}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure, so no loss to return
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            for p in weights:
                if not self.state[p]:
                    self.state[p] = {"square": torch.ones_like(p), "momentum": torch.zeros_like(p)}
            squares = [self.state[p]["square"] for p in weights]
            momenta = [self.state[p]["momentum"] for p in weights]
            gradients = torch._foreach_add([p.grad for p in weights], weights, alpha=group["weight_decay"])
            torch._foreach_mul_(squares, group["alpha"])
            torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["alpha"])
            roots = torch._foreach_add(squares, group["epsilon"])
            torch._foreach_sqrt_(roots)
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_addcdiv_(momenta, gradients, roots, value=group["lr"])
            torch._foreach_sub_(weights, momenta)
