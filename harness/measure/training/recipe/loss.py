"""The loss a recipe trains on."""

import torch
from torch import nn


class TrainingLoss(nn.Module):
    """Cross-entropy with label smoothing, plus the weighted auxiliary heads where a network has them."""

    def __init__(self, *, label_smoothing: float, auxiliary_weight: float) -> None:
        super().__init__()
        self._cross_entropy = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
        self._auxiliary_weight = auxiliary_weight

    def forward(self, outputs: torch.Tensor | tuple[torch.Tensor | None, ...], labels: torch.Tensor) -> torch.Tensor:
        """outputs: logits (B, K), or a tuple of main and auxiliary logits; labels: (B,) or (B, K). Returns a scalar."""
        if isinstance(outputs, torch.Tensor):
            return self._cross_entropy(outputs, labels)
        main, *auxiliary = outputs
        loss: torch.Tensor = self._cross_entropy(main, labels)
        for head in auxiliary:
            if head is not None:
                loss = loss + self._auxiliary_weight * self._cross_entropy(head, labels)
        return loss
