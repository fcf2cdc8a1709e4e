"""Memory stays flat: over long epochs the main process and its workers keep the size they had after the first one."""

import os
from pathlib import Path

import pytest

from tests.measure.data.conftest import WNIDS, encoded, picture
from tests.measure.data.loading import evaluation, load, train

IMAGES_PER_CLASS = 400
EPOCHS = 6


def _private_mb(pid: int) -> float:
    """Anonymous memory of a process in MB: what it allocated itself, without mapped files and shared pages."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_stays_flat_over_long_epochs_with_workers(tmp_path: Path) -> None:
    """1,200 images an epoch; a leak of one small picture (10 KB) per image would add 60 MB over the five epochs."""
    root = tmp_path / "tree"
    image = encoded(picture(0, 60, 60))
    for split, images in (("train", IMAGES_PER_CLASS), ("val", 20)):
        for wnid in WNIDS:
            (root / split / wnid).mkdir(parents=True)
            first = root / split / wnid / "0.JPEG"
            first.write_bytes(image)
            for i in range(1, images):
                os.link(first, first.with_name(f"{i}.JPEG"))
    data = load(root, workers=2, batch_size=64)
    sizes = []
    for epoch in range(EPOCHS):
        for _ in train(data, epoch=epoch, batch_size=64):
            pass
        evaluation(data)
        sizes.append(sum(_private_mb(pid) for pid in [os.getpid(), *data.worker_pids]))
    data.close()
    assert max(sizes[1:]) - sizes[0] < 20, sizes
