"""Randomness without state: every draw is a function of its key, so that a run resumes without replaying."""

import hashlib

import torch


def keyed_seed(*parts: int | str) -> int:
    """63-bit integer over the parts; different parts give independent seeds."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def keyed_generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by the parts."""
    return torch.Generator().manual_seed(keyed_seed(*parts))


def epoch_order(images: int, *, seed: int, epoch: int) -> torch.Tensor:
    """The order of the training images in an epoch: a permutation, int64 of shape (images,)."""
    return torch.randperm(images, generator=keyed_generator("order", seed, epoch))
