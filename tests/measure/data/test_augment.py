"""RandAugment is torchvision's reference, and touches no generator but the CPU's, which it sets back."""

import pytest
import torch
from torchvision.transforms import InterpolationMode, v2

from harness.measure.data.loader.augment import randaugment

IMAGES = torch.randint(0, 256, (24, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def expected(interpolation: InterpolationMode, magnitude: int = 9) -> torch.Tensor:
    augment = v2.RandAugment(num_ops=2, magnitude=magnitude, interpolation=interpolation)
    views = []
    for seed, image in enumerate(IMAGES):
        torch.manual_seed(seed)
        views.append(augment(image))
    return torch.stack(views)


def test_it_resamples_as_the_references_preset() -> None:
    """references/classification/presets.py hands its own interpolation on: bilinear, where v2 alone takes nearest."""
    ours = randaugment(IMAGES, range(24), 9)
    assert torch.equal(ours, expected(InterpolationMode.BILINEAR))
    assert not torch.equal(ours, expected(InterpolationMode.NEAREST))
    assert torch.equal(randaugment(IMAGES, range(24), 27), expected(InterpolationMode.BILINEAR, 27))


def test_cudas_generators_are_not_reseeded(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    torch.manual_seed(5)
    seeds.clear()
    before = torch.random.get_rng_state()
    randaugment(IMAGES, range(24), 9)
    assert seeds == []
    assert torch.equal(torch.random.get_rng_state(), before)
