"""A seeded part of a labelled set: which classes, which images of each; the same for every run."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from harness.measure.data.keyed import keyed_generator
from harness.record.errors import BadInput

SUBSET_SEED = 20120601


def choose_classes(available: int, wanted: int | None) -> list[int]:
    """Seeded choice of `wanted` of the `available` classes, sorted; all of them for None."""
    if wanted is None:
        return list(range(available))
    if wanted > available:
        raise BadInput(f"data.classes={wanted}: the data set has {available}")
    order = torch.randperm(available, generator=keyed_generator("classes", SUBSET_SEED))
    return sorted(order[:wanted].tolist())


def members(
    labels: NDArray[np.integer], classes: list[int], images_per_class: int | None, *, option: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(indices, new labels) of the kept images, class after class; int64 (kept,) each.

    The first `images_per_class` images of each class in a seeded order, None for all. Raises BadInput where a class
    has fewer (option: the config key to blame). One sort over all labels: 0.1 s
    for ImageNet's 1.28 million.
    """
    by_class = np.argsort(labels, kind="stable").astype(np.int64)
    starts = np.searchsorted(labels[by_class], np.arange(max(classes, default=-1) + 2))
    kept, relabelled = [], []
    for new, old in enumerate(classes):
        found = by_class[starts[old] : starts[old + 1]]
        if images_per_class is not None:
            if images_per_class > len(found):
                raise BadInput(f"{option}={images_per_class}: class {old} has {len(found)} images; lower it")
            order = torch.randperm(len(found), generator=keyed_generator("subset", SUBSET_SEED, old))
            found = np.sort(found[order[:images_per_class].numpy()])
        kept.append(found)
        relabelled.append(np.full(len(found), new, np.int64))
    return np.concatenate(kept), np.concatenate(relabelled)


def subset_fingerprint(whole: str, *parts: NDArray[np.int64]) -> str:
    """Identity of a subset: the whole set's fingerprint and the kept indices of each split."""
    digest = hashlib.sha256(f"subset of {whole}\n".encode())
    for part in parts:
        digest.update(f"{len(part)}\n".encode())
        digest.update(part.astype("<i8").tobytes())
    return digest.hexdigest()
