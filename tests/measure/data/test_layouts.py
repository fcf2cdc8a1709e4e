"""Every layout that people have ImageNet in: one fingerprint, the same pixels, nothing written beside the data."""

import gc
import os
import resource
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from harness import cli, models
from harness.measure.data.store import files as store
from harness.measure.data.store.manifest import open_manifest
from harness.record.errors import BadInput
from harness.record.folders.folder import find_run_folders, read_run
from tests.measure.conftest import Tiny
from tests.measure.data.conftest import WNIDS
from tests.measure.data.loading import SIDE, digest, evaluation, load, train
from tests.measure.data.made import IN_PLACE, LAYOUTS, STREAMED, make_images, snapshot

TAKEN_FOR = {
    "class folders": ("class folders", "the folders' names"),
    "Kaggle": ("Kaggle's tree, ILSVRC/Data/CLS-LOC", "LOC_val_solution.csv and the folders' names"),
    "Kaggle, labels from the boxes": (
        "Kaggle's tree, ILSVRC/Data/CLS-LOC",
        "Annotations/CLS-LOC/val and the folders' names",
    ),
    "official, unpacked": ("ILSVRC 2012's official files, unpacked", "ILSVRC2012_devkit_t12 and the folders' names"),
    "official tars": ("ILSVRC 2012's official tars", "ILSVRC2012_devkit_t12.tar.gz and the class tars' names"),
    "class tars in a folder": ("tars", "the class tars' names and the folders' names"),
    "Tiny ImageNet": ("Tiny ImageNet as downloaded", "the folders' names and val/val_annotations.txt"),
    "Hugging Face archives, decompressed": ("Hugging Face's image archives", "the images' names"),
    "Hugging Face archives, unpacked": ("class folders", "the images' names"),
    "WebDataset, .cls": ("WebDataset shards", "the shards' .cls and .json files"),
    "WebDataset, .json": ("WebDataset shards", "the shards' .cls and .json files"),
    "Hugging Face archives": ("Hugging Face's image archives, compressed", "the images' names"),
    "Hugging Face parquet": ("Hugging Face's parquet files", "the images' names"),
}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The root of every layout, of the same images."""
    pytest.importorskip("pyarrow", reason="parquet needs pyarrow (the extra parquet)")
    base = tmp_path_factory.mktemp("layouts")
    images = make_images()
    roots = {}
    for number, (name, make) in enumerate(LAYOUTS.items()):
        roots[name] = base / f"{number}"
        make(roots[name], *images)
    return roots


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_the_identity_of_the_class_folders(
    made: dict[str, Path], layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said in one line what the root was taken for; nothing is moved, written or unpacked beside the data."""
    reference = open_manifest(made["class folders"])
    before = list(snapshot(made[layout]))
    caplog.clear()
    manifest = open_manifest(made[layout])
    assert manifest.fingerprint == reference.fingerprint
    assert manifest.classes == reference.classes == WNIDS
    assert (manifest.kind, manifest.labels_from) == TAKEN_FOR[layout]
    said = [record.getMessage() for record in caplog.records if "labels from" in record.getMessage()]
    assert said == [f"data.root={made[layout]}: {manifest.kind}; labels from {manifest.labels_from}"]
    assert list(snapshot(made[layout])) == before
    assert manifest.ignored_files == 0


@pytest.mark.parametrize("below", ["ILSVRC", "ILSVRC/Data/CLS-LOC"])
@pytest.mark.parametrize("layout", ["Kaggle", "Kaggle, labels from the boxes"])
def test_kaggles_tree_is_known_at_every_depth(made: dict[str, Path], layout: str, below: str) -> None:
    """The labels lie above the root."""
    manifest = open_manifest(made[layout] / below)
    assert manifest.fingerprint == open_manifest(made["class folders"]).fingerprint
    assert (manifest.kind, manifest.labels_from) == TAKEN_FOR[layout]


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7"])
@pytest.mark.parametrize("where", ["train", ".", "train/."])
def test_tars_as_people_make_them(made: dict[str, Path], tmp_path: Path, form: str, where: str) -> None:
    """By the program tar, of class folders, with the folder's name, without it, or with a dot before it."""
    for split in ("train", "val"):
        inside = where.replace("train", split)
        source = made["class folders"] if split in where.replace("train", split) else made["class folders"] / split
        command = ["tar", f"--format={form}", "-cf", str(tmp_path / f"{split}.tar"), "-C", str(source), inside]
        subprocess.run(command, check=True)
    manifest = open_manifest(tmp_path)
    assert manifest.fingerprint == open_manifest(made["class folders"]).fingerprint
    assert (manifest.kind, manifest.labels_from) == ("tars", "the folders' names in the archive")


def test_shards_in_folders_of_their_splits_with_notes_beside_them(made: dict[str, Path], tmp_path: Path) -> None:
    for split in ("train", "validation"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "_info.json").write_text("{}")
        for shard in made["WebDataset, .cls"].glob(f"*-{split}-*.tar"):
            shutil.copy(shard, tmp_path / split)
    (tmp_path / "validation").rename(tmp_path / "val")
    assert open_manifest(tmp_path).fingerprint == open_manifest(made["class folders"]).fingerprint


@pytest.mark.parametrize("layout", IN_PLACE)
@pytest.mark.parametrize("workers", [0, 2])
def test_every_layout_that_is_read_in_place_gives_the_same_batches(
    made: dict[str, Path], layout: str, workers: int
) -> None:
    reference, data = load(made["class folders"]), load(made[layout], workers=workers)
    assert data.fingerprint == reference.fingerprint
    assert digest(train(data)) == digest(train(reference))
    assert digest(evaluation(data)) == digest(evaluation(reference))
    data.close()


@pytest.mark.parametrize("layout", IN_PLACE)
def test_a_subset_is_the_same_in_every_layout(made: dict[str, Path], layout: str) -> None:
    keep = {"classes": [WNIDS[0], WNIDS[2]], "images_per_class": 3, "evaluation_images_per_class": 1}
    reference, data = load(made["class folders"], **keep), load(made[layout], **keep)
    assert data.fingerprint == reference.fingerprint
    assert digest(train(data)) == digest(train(reference))


@pytest.fixture(scope="session")
def stores(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each layout, packed."""
    base = tmp_path_factory.mktemp("packed")
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        patch.setattr(store, "MIN_IMAGES_PER_SHARD", 5)
        for number, name in enumerate(LAYOUTS):
            folders[name] = base / f"{number}"
            words = ["prepare", "data=imagenet", f"data.root={made[name]}", f"--out={folders[name]}", "--workers=2"]
            assert cli.main([*words, f"data.resolution={SIDE}", "--short-side=64"]) == 0
    return folders


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_can_be_packed_to_the_same_set(
    made: dict[str, Path], stores: dict[str, Path], layout: str
) -> None:
    reference, data = load(made["class folders"]), load(stores[layout], "prepared", pixels="jpeg64")
    folders = load(stores["class folders"], "prepared", pixels="jpeg64")
    assert data.fingerprint == reference.fingerprint
    assert digest(evaluation(data)) == digest(evaluation(reference))
    assert digest(train(data)) == digest(train(folders))
    keep = {"classes": [WNIDS[1]], "images_per_class": 2}
    part = load(stores[layout], "prepared", pixels="jpeg64", **keep)
    assert part.fingerprint == load(made["class folders"], **keep).fingerprint


@pytest.mark.parametrize("layout", STREAMED)
def test_what_can_only_be_streamed_says_so_and_a_part_of_it_can_be_packed(
    made: dict[str, Path], layout: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"single images cannot be read out of Hugging Face.* \(harness prepare .*--out"):
        load(made[layout])
    words = ["prepare", "data=imagenet", f"data.root={made[layout]}", f"--out={tmp_path / 'out'}", "--short-side=64"]
    keep = ["data.classes=2", "data.images_per_class=3"]
    assert cli.main([*words, *keep, f"data.resolution={SIDE}", "--workers=1"]) == 0
    part = load(tmp_path / "out", "prepared", pixels="jpeg64")
    assert part.fingerprint == load(made["class folders"], classes=2, images_per_class=3).fingerprint
    assert part.train_images == 6


def _curve(out: Path, *words: str) -> tuple[str, list[object]]:
    """Fingerprint and evaluations of one epoch on two of the classes."""
    common = ["model=alexnet", "model.name=tiny", "model.min_resolution=16"]
    common += ["recipe=small", "recipe.train_transform=resized_crop", "recipe.flip=true"]
    common += ["recipe.batch_size=4", "budget.epochs=1", "evaluations_per_epoch=2", "target=none", "data.workers=0"]
    common += ["device=cpu", "precision=fp32", "deterministic=true", f"data.resolution={SIDE}", f"out={out}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.ZOO, "tiny", partial(Tiny, side=SIDE))
        assert cli.main(["train", *common, f"data.classes=[{WNIDS[0]},{WNIDS[1]}]", *words]) == 0
    (folder,) = find_run_folders(out)
    run = read_run(folder)
    return run.fingerprint, [(e.step, e.loss, e.correct_top1, e.correct_top5, e.total) for e in run.curve]


@pytest.fixture(scope="session")
def expected(
    made: dict[str, Path], stores: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[str, list[object]]]:
    """The curves from class folders and from their store."""
    out = tmp_path_factory.mktemp("curves")
    packed = ["data=prepared", f"data.root={stores['class folders']}", "data.pixels=jpeg64"]
    return {
        "from": _curve(out / "from", "data=imagenet", f"data.root={made['class folders']}"),
        "packed": _curve(out / "packed", *packed),
    }


@pytest.mark.parametrize("layout", [name for name in IN_PLACE if name != "class folders"])
def test_an_epoch_from_every_layout_has_the_same_curve(
    made: dict[str, Path], expected: dict[str, tuple[str, list[object]]], layout: str, tmp_path: Path
) -> None:
    curve = _curve(tmp_path, "data=imagenet", f"data.root={made[layout]}")
    assert curve == expected["from"]
    assert len(curve[1]) == 2


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "class folders"])
def test_an_epoch_from_every_store_has_the_same_curve(
    stores: dict[str, Path], expected: dict[str, tuple[str, list[object]]], layout: str, tmp_path: Path
) -> None:
    curve = _curve(tmp_path, "data=prepared", f"data.root={stores[layout]}", "data.pixels=jpeg64")
    assert curve == expected["packed"]
    assert curve[0] == expected["from"][0]


def test_many_sets_opened_one_after_another_leave_no_file_open(made: dict[str, Path]) -> None:
    """As in a sweep in one process."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        data = load(made["WebDataset, .cls"])
        next(train(data))
        del data
        gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_more_archives_than_may_stay_open(made: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of open files of 4 times fewer than the shards: each is opened for every image anew."""
    expected = digest(train(load(made["class folders"])))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8, hard))
    data = load(made["WebDataset, .cls"])
    assert digest(train(data)) == expected
    assert soft > 8
