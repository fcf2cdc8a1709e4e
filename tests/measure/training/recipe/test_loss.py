import math

import pytest
import torch

from harness.measure.training.recipe.loss import TrainingLoss


def test_auxiliary_heads_add_their_weighted_loss() -> None:
    logits, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    loss = TrainingLoss(label_smoothing=0.0, auxiliary_weight=0.3)
    plain = math.log(1 + math.exp(-2))
    assert loss(logits, labels).item() == pytest.approx(plain)
    assert loss((logits, -logits, None), labels).item() == pytest.approx(plain + 0.3 * (plain + 2))
