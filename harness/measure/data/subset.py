"""A seeded part of a labelled set: which classes, which images of each; the same for every run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from harness.measure.config.schema import DataConfig
from harness.measure.data.keyed import keyed_generator
from harness.record.errors import BadInput

SUBSET_SEED = 20120601
Part = tuple[NDArray[np.int64], NDArray[np.int64]]  # indices into a split and the new labels, int64 (kept,) each


@dataclass(frozen=True)
class Cut:
    """The kept part of a set: its class names, both splits, its identity, and whether anything was left out."""

    classes: list[str]
    train: Part
    evaluation: Part
    fingerprint: str
    is_cut: bool


def cut(
    classes: Sequence[str],
    fingerprint: str,
    train_labels: NDArray[np.integer],
    evaluation_labels: NDArray[np.integer],
    data: DataConfig,
) -> Cut:
    """The part of a set that a config asks for; the whole set keeps its fingerprint."""
    chosen = choose_classes(len(classes), data.classes)
    train = members(train_labels, chosen, data.images_per_class, option="data.images_per_class")
    evaluation = members(
        evaluation_labels, chosen, data.evaluation_images_per_class, option="data.evaluation_images_per_class"
    )
    is_cut = (len(train[0]), len(evaluation[0])) != (len(train_labels), len(evaluation_labels))
    if is_cut:
        fingerprint = subset_fingerprint(fingerprint, train[0], evaluation[0])
    return Cut([classes[c] for c in chosen], train, evaluation, fingerprint, is_cut)


def choose_classes(available: int, wanted: int | None) -> list[int]:
    """Seeded choice of `wanted` of the `available` classes, sorted; all of them for None."""
    if wanted is None:
        return list(range(available))
    if wanted > available:
        raise BadInput(f"data.classes={wanted}: the data set has {available}")
    order = torch.randperm(available, generator=keyed_generator("classes", SUBSET_SEED))
    return sorted(order[:wanted].tolist())


def members(labels: NDArray[np.integer], classes: list[int], images_per_class: int | None, *, option: str) -> Part:
    """(indices, new labels) of the kept images, class after class.

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
