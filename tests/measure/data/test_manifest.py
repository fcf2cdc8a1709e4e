"""The manifest against torchvision's ImageFolder, its cache, its size at ImageNet's scale, and every wrong tree."""

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pytest
from torchvision.datasets import ImageFolder

from harness.measure.data.store import manifest as module
from harness.measure.data.store.manifest import cache_path, open_manifest
from harness.record.errors import BadInput
from tests.bench.images import imagenet_sized_manifest
from tests.forked import Forked
from tests.measure.data.conftest import WNIDS, encoded, picture
from tests.measure.data.loading import load
from tests.ports import two_ranks


def test_paths_labels_and_classes_are_those_of_image_folder(tree: Path) -> None:
    manifest = open_manifest(tree)
    for split, name in ((manifest.train, "train"), (manifest.evaluation, "val")):
        reference = ImageFolder(str(tree / name))
        assert list(manifest.classes) == reference.classes
        assert [(str(tree / split.path(i)), int(split.labels[i])) for i in range(len(split))] == reference.samples
        assert split.sizes_bytes.tolist() == [os.path.getsize(path) for path, _ in reference.samples]


def test_nested_folders_are_read_in_the_order_of_image_names_as_everywhere(own_tree: Path) -> None:
    """The images of ImageFolder; its order where one folder lies in each class, that of the names where several do."""
    for folder in ("images", "images/deeper", "a b"):
        (own_tree / "train" / WNIDS[1] / folder).mkdir(parents=True, exist_ok=True)
        (own_tree / "train" / WNIDS[1] / folder / "é.JPEG").write_bytes(encoded(picture(1, 20, 20)))
    manifest = open_manifest(own_tree)
    reference = ImageFolder(str(own_tree / "train"))
    paths = [str(own_tree / manifest.train.path(i)) for i in range(len(manifest.train))]
    assert paths == sorted((p for p, _ in reference.imgs), key=lambda p: (p.split("/train/")[1][:9], Path(p).stem, p))


def test_second_open_reads_the_cache_and_gives_the_same(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_manifest(tree)
    monkeypatch.setattr(module, "read", lambda *_: pytest.fail("the tree was read again"))
    second = open_manifest(tree)
    assert (second.fingerprint, second.classes, second.ignored_files) == (
        first.fingerprint,
        first.classes,
        first.ignored_files,
    )
    for one, other in ((first.train, second.train), (first.evaluation, second.evaluation)):
        assert one.containers == other.containers
        for field in ("names", "ends", "labels", "sizes_bytes", "ids", "container", "offsets"):
            assert np.array_equal(getattr(one, field), getattr(other, field))


def test_an_added_file_is_noticed_and_changes_the_fingerprint(own_tree: Path) -> None:
    before = open_manifest(own_tree)
    (own_tree / "train" / WNIDS[2] / "new.JPEG").write_bytes(encoded(picture(5, 30, 30)))
    after = open_manifest(own_tree)
    assert len(after.train) == len(before.train) + 1
    assert after.fingerprint != before.fingerprint


def test_fingerprint_depends_on_names_sizes_and_classes_not_on_the_place(own_tree: Path, tmp_path: Path) -> None:
    here = open_manifest(own_tree).fingerprint
    moved = shutil.copytree(own_tree, tmp_path / "elsewhere")
    assert open_manifest(moved).fingerprint == here
    (moved / "val").rename(moved / "validation")
    assert open_manifest(moved).fingerprint == here
    image = next((moved / "train" / WNIDS[0]).iterdir())
    image.write_bytes(image.read_bytes() + b"\0")
    os.utime(image.parent)  # a file rewritten in place is noticed when it is read, as the module's docstring says
    assert open_manifest(moved).fingerprint != here


def test_two_class_swap_changes_the_fingerprint(own_tree: Path) -> None:
    before = open_manifest(own_tree).fingerprint
    for split in ("train", "val"):
        (own_tree / split / WNIDS[0]).rename(own_tree / split / "x")
        (own_tree / split / WNIDS[1]).rename(own_tree / split / WNIDS[0])
        (own_tree / split / "x").rename(own_tree / split / WNIDS[1])
    assert open_manifest(own_tree).fingerprint != before


def test_a_damaged_cache_costs_a_scan(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    fingerprint = open_manifest(tree).fingerprint
    path = cache_path(tree)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert open_manifest(tree).fingerprint == fingerprint
    assert "cannot be read" in caplog.text


def test_without_a_writable_cache_it_still_opens(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(open_manifest(tree).classes) == len(WNIDS)
    assert "could not be cached" in caplog.text


def test_opening_writes_nothing_into_the_tree(own_tree: Path) -> None:
    before = sorted(own_tree.rglob("*"))
    open_manifest(own_tree)
    assert sorted(own_tree.rglob("*")) == before


def test_other_files_are_counted_not_silently_dropped(own_tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    (own_tree / "train" / WNIDS[0] / "notes.txt").write_text("x")
    assert open_manifest(own_tree).ignored_files == 1
    assert "1 files in class folders are no images" in caplog.text


@pytest.fixture(scope="module")
def imagenet_sized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(root, cache) of a tree as large as ImageNet by its manifest; its folders exist, its files do not."""
    root, cache = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("cache")
    imagenet_sized_manifest(root, cache)
    return root, cache


def test_an_imagenet_sized_manifest_opens_under_500_mb(imagenet_sized: tuple[Path, Path]) -> None:
    """In a fresh process; the peak of what Python and numpy allocate for it, libraries not counted."""
    root, cache = imagenet_sized
    code = (
        "import sys, tracemalloc; from harness.measure.data.store.manifest import open_manifest; tracemalloc.start();"
        "m = open_manifest(sys.argv[1]);"
        "print(len(m.train), len(m.evaluation), m.is_full_imagenet, m.train.path(1281166),"
        " tracemalloc.get_traced_memory()[1] // 2**20)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
    )
    train, evaluation, full, last, peak_mb = done.stdout.split()
    assert (train, evaluation, full) == ("1281167", "50000", "True")
    assert last == "train/n00000999/n00000999_1281166.JPEG"
    assert 50 < int(peak_mb) < 500


def test_part_of_imagenet_is_told_from_the_whole(tree: Path) -> None:
    manifest = open_manifest(tree)
    assert manifest.looks_like_imagenet
    assert not manifest.is_full_imagenet


def _spoil(root: Path, how: str) -> Path:
    """Makes one common mistake; returns what the user would pass as data.root."""
    val = root / "val"
    if how == "missing":
        return root / "nowhere"
    if how == "a file":
        (root / "file").write_text("")
        return root / "file"
    if how == "empty":
        (root / "void").mkdir()
        return root / "void"
    if how == "flat val":
        for i, image in enumerate(list(val.rglob("*.JPEG"))):
            image.rename(val / f"ILSVRC2012_val_{i:08d}.JPEG")
        for wnid in WNIDS:
            (val / wnid).rmdir()
    if how == "flat val beside empty classes":
        for image in list(val.rglob("*.JPEG")):
            image.rename(val / image.name)
    if how == "class without images":
        for image in (root / "train" / WNIDS[1]).iterdir():
            image.unlink()
    if how == "no val":
        shutil.rmtree(val)
    if how == "no train":
        shutil.rmtree(root / "train")
    if how == "one split":
        return root / "train"
    if how == "one deeper":
        return root.parent
    if how == "archives at the top":
        shutil.rmtree(root / "train")
        shutil.rmtree(val)
        (root / "ILSVRC2012_img_train.tar").write_bytes(b"x")
    if how == "archives in train":
        for wnid in WNIDS:
            shutil.rmtree(root / "train" / wnid)
            (root / "train" / f"{wnid}.tar").write_bytes(b"x")
    if how == "zero bytes":
        (root / "train" / WNIDS[1] / "a.JPEG").write_bytes(b"")
    if how == "apple double":
        (root / "train" / WNIDS[1] / "._a.JPEG").write_bytes(b"x")
    if how == "broken link":
        (root / "train" / WNIDS[1] / "a.JPEG").symlink_to("/nowhere/at/all")
    return root


WRONG_TREES = {
    "missing": "does not exist: set data.root to",
    "a file": "is not a folder: set data.root to",
    "empty": "is empty: unpack the images there",
    "flat val": r"val/ILSVRC2012_val_\d+.JPEG lies in no class folder .*LOC_val_solution.csv.*devkit",
    "flat val beside empty classes": "val holds 6 images outside its class folders .*move each into val/<class>/",
    "class without images": f"train/{WNIDS[1]} holds no image: unpack that class again",
    "no val": "no val/ in it",
    "no train": r"no train/ in it, nor archives of it \(found val\): set data.root to",
    "one split": "this is one split, point data.root at its parent",
    "one deeper": "train/ lies one folder deeper, point data.root at .*/tree",
    "archives at the top": "no val/ in it, nor archives of it",
    "archives in train": r"train/n01440764.tar is damaged or cut short .*: fetch it again",
    "zero bytes": r"a.JPEG is empty \(0 bytes\): copy or unpack it again",
    "apple double": "AppleDouble file, no image: delete them",
    "broken link": "a.JPEG cannot be read .*restore it",
}


@pytest.mark.parametrize("how", WRONG_TREES)
def test_a_wrong_tree_gets_one_line_with_the_remedy(own_tree: Path, how: str) -> None:
    root = _spoil(own_tree, how)
    with pytest.raises(BadInput, match=WRONG_TREES[how]) as caught:
        open_manifest(root)
    assert "\n" not in str(caught.value)
    assert not cache_path(root).exists()


@pytest.mark.parametrize("root", [None, ""])
def test_a_root_that_is_not_set_says_so(root: str | None) -> None:
    with pytest.raises(BadInput, match=re.escape("data.root is not set: pass data.root=/path/to/imagenet")):
        open_manifest(root)


def test_a_class_of_one_split_alone_is_refused_unless_the_classes_are_named(own_tree: Path) -> None:
    shutil.rmtree(own_tree / "val" / WNIDS[1])
    with pytest.raises(BadInput, match=rf"class {WNIDS[1]} has training but no validation images: add them, or name"):
        load(own_tree)
    assert load(own_tree, classes=[WNIDS[0], WNIDS[2]]).classes == 2
    with pytest.raises(BadInput, match=r"add them, or leave them out of data.classes"):
        load(own_tree, classes=[WNIDS[0], WNIDS[1]])


def test_many_missing_classes_are_counted(own_tree: Path) -> None:
    for i in range(5):
        shutil.copytree(own_tree / "val" / WNIDS[0], own_tree / "val" / f"n1000000{i}")
    message = r"5 classes \(n10000000, n10000001, n10000002, \.\.\.\) have validation but no training images"
    with pytest.raises(BadInput, match=message):
        load(own_tree)


def _open_together(tree: Path, barrier: Any, done: Any) -> None:
    reads = 0
    original = module.read

    def counted(path: Path) -> Any:
        nonlocal reads
        reads += 1
        time.sleep(0.3)  # as on a slow disk: time enough for the others to come
        return original(path)

    module.read = counted  # type: ignore[assignment]
    barrier.wait()
    fingerprint = open_manifest(tree).fingerprint
    done.put((fingerprint, reads))


def test_of_processes_that_start_together_one_reads_the_source(tree: Path) -> None:
    """Ranks of a run, or runs of a sweep: the others wait for its manifest."""
    fork = multiprocessing.get_context("fork")
    barrier, done = fork.Barrier(4), fork.Queue()
    processes = [fork.Process(target=_open_together, args=(tree, barrier, done)) for _ in range(4)]
    for process in processes:
        process.start()
    results = [done.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert len({fingerprint for fingerprint, _ in results}) == 1
    assert sum(reads for _, reads in results) == 1


def test_of_two_ranks_one_reads_the_source(own_tree: Path, tmp_path: Path) -> None:
    """A real run of two processes."""
    words = ["train", "data=imagenet", f"data.root={own_tree}", "model=shufflenet_v2_x1_0", "target=none", "device=cpu"]
    words += [
        "budget.epochs=1",
        "recipe.batch_size=4",
        "data.resolution=32",
        "data.workers=0",
        "evaluations_per_epoch=1",
    ]
    words += ["threads=1", "evaluations_per_epoch=1", f"out={tmp_path / 'runs'}", "recipe=small", "recipe.lr=1e-4"]
    both = [Forked(["-m", "harness", *words], env=rank, stderr=PIPE) for rank in two_ranks()]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.wait() for process in both] == [0, 0], said
    assert sum(one.count(f"reading the images under {own_tree}, once") for one in said) == 1
    assert [one.count(f"data.root={own_tree}: class folders") for one in said] == [1, 1]
