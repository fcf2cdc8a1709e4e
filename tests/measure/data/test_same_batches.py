"""The batches are those that were made before torch's DataLoader became the process pool, bit for bit.

The digests stand in tests/golden/batches.json. PNG files of 64 x 64 pixels at 56: nothing is resampled and Pillow alone
decodes, so that they hold for every version of the libraries.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.measure.data.conftest import WNIDS
from tests.measure.data.loading import digest, evaluation, load, train

GOLDEN = Path(__file__).parents[2] / "golden" / "batches.json"


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 + 7 images a class, each of its own noise."""
    root = tmp_path_factory.mktemp("squares")
    for split, images in (("train", 40), ("val", 7)):
        for label, wnid in enumerate(WNIDS):
            (root / split / wnid).mkdir(parents=True)
            for i in range(images):
                seed = 1000 * label + i + (500 if split == "val" else 0)
                noise = np.random.RandomState(seed).randint(0, 256, (64, 64, 3)).astype(np.uint8)
                Image.fromarray(noise).save(root / split / wnid / f"{split}_{label}_{i}.png")
    return root


def digests(root: Path, workers: int) -> dict[str, list[str]]:
    """Two epochs of batches larger than a chunk, a resumed one, a rank's share, and the evaluation."""
    data = load(root, train_transform="random_crop", workers=workers, batch_size=50)
    try:
        return {
            "epoch 0": digest(train(data, epoch=0, batch_size=50)),
            "epoch 1 from batch 1": digest(train(data, epoch=1, batch_size=50, start_batch=1)),
            "rank 1 of 2": digest(train(data, epoch=0, batch_size=50, rank=1, world_size=2)),
            "evaluation": digest(evaluation(data, batch_size=20)),
        }
    finally:
        data.close()


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_batches_are_those_of_before(squares: Path, workers: int) -> None:
    assert digests(squares, workers) == json.loads(GOLDEN.read_text())
