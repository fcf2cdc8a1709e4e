"""A source that changed, loops or shows an image twice is noticed, not trained on."""

import os
import shutil
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from harness import cli
from harness.measure.data.store import files as store
from harness.measure.data.store.manifest import cache_path, open_manifest
from harness.record.errors import BadInput
from tests.measure.data.conftest import WNIDS, encoded, picture
from tests.measure.data.loading import SIDE, evaluation, load, train
from tests.measure.data.made import make_images, webdataset


def refused(root: Path, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        load(root)
    assert "\n" not in str(caught.value)


def linked(tree: Path, to: Path) -> Path:
    """A tree of links to class folders, as people make subsets."""
    for split in ("train", "val"):
        (to / split).mkdir(parents=True)
        for wnid in WNIDS:
            (to / split / wnid).symlink_to(tree / split / wnid)
    return to


def test_a_tree_of_links_is_the_tree(own_tree: Path, tmp_path: Path) -> None:
    assert load(linked(own_tree, tmp_path / "links")).fingerprint == load(own_tree).fingerprint


def test_a_link_to_itself_in_a_class_folder_is_named(own_tree: Path, tmp_path: Path) -> None:
    """What `ln -s SRC/train/$w sub/train/$w` leaves when it is run twice: a link inside the source's class folder."""
    root = linked(own_tree, tmp_path / "links")
    link = own_tree / "train" / WNIDS[1] / WNIDS[1]
    link.symlink_to(own_tree / "train" / WNIDS[1])
    refused(own_tree, rf"{link} is .*/train/{WNIDS[1]} under a second name.*remove that link")
    refused(root, rf"train/{WNIDS[1]}/{WNIDS[1]} is .* under a second name")


def test_two_links_in_one_folder_end(own_tree: Path) -> None:
    folder = own_tree / "train" / WNIDS[1]
    for name in ("a", "b"):
        (folder / name).symlink_to(folder)
    refused(own_tree, rf"{folder}/[ab] is {folder} under a second name")


def test_a_class_that_is_a_link_to_another_is_refused(own_tree: Path) -> None:
    for split in ("train", "val"):
        (own_tree / split / "n09999999").symlink_to(own_tree / split / WNIDS[0])
    refused(own_tree, r"train/n09999999 is .* under a second name")


def test_a_validation_set_that_is_the_training_set_is_refused(own_tree: Path) -> None:
    for wnid in WNIDS:
        for image in (own_tree / "val" / wnid).iterdir():
            image.unlink()
        (own_tree / "val" / wnid).rmdir()
    (own_tree / "val").rmdir()
    (own_tree / "val").symlink_to(own_tree / "train")
    refused(own_tree, r"val is .*train under a second name, so its images would count twice")


@pytest.mark.parametrize("images", [2, 1], ids=["all of it", "a part of it"])
def test_a_validation_set_that_is_a_copy_of_training_images_is_refused(own_tree: Path, images: int) -> None:
    shutil.rmtree(own_tree / "val")
    for wnid in WNIDS:
        (own_tree / "val" / wnid).mkdir(parents=True)
        for image in sorted((own_tree / "train" / wnid).iterdir())[:images]:
            shutil.copy(image, own_tree / "val" / wnid)
    refused(own_tree, "every validation image has class, name and size of a training image")


def test_an_archive_that_is_there_twice_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    webdataset(tmp_path, *make_images())
    once = len(open_manifest(tmp_path).train)  # cached from here on
    assert "there twice" not in caplog.text
    shard = min(tmp_path.glob("*train*"))
    shutil.copy(shard, tmp_path / "imagenet1k-train-0099.tar")
    again = len(open_manifest(tmp_path).train) - once
    assert again > 0
    assert f"{again} images have class, name and size of another: is a folder or an archive there twice?" in caplog.text


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_image_outside_the_class_folders_is_named(own_tree: Path, split: str) -> None:
    """One of them, fewer than there are classes."""
    (own_tree / split / "ILSVRC2012_val_00000007.JPEG").write_bytes(encoded(picture(1, 30, 30)))
    refused(own_tree, rf"{split} holds 1 images outside its class folders \(ILSVRC2012_val_00000007.JPEG\)")


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "@eaDir", "__MACOSX"])
def test_hidden_and_system_folders_are_no_part_of_a_class(own_tree: Path, name: str) -> None:
    before = load(own_tree).fingerprint
    for folder in (own_tree / "train" / WNIDS[0] / name, own_tree / "val" / name):
        folder.mkdir()
        (folder / "copy.JPEG").write_bytes(encoded(picture(1, 30, 30)))
    after = load(own_tree)
    assert after.fingerprint == before
    assert after.notes["ignored_files"] == 1
    assert len(ImageFolder(str(own_tree / "train"))) == after.train_images + 1  # torchvision's would train on it


def test_a_hidden_image_is_left_out_and_counted(own_tree: Path) -> None:
    (own_tree / "train" / WNIDS[0] / ".trashed.JPEG").write_bytes(encoded(picture(1, 30, 30)))
    data = load(own_tree)
    assert (data.train_images, data.notes["ignored_files"]) == (9, 1)


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_image_rewritten_in_place_is_noticed_when_it_is_read(own_tree: Path, split: str) -> None:
    """The cached manifest holds: no folder has changed. The next start reads the source again."""
    before = load(own_tree).fingerprint
    image = next((own_tree / split / WNIDS[1]).iterdir())
    image.write_bytes(encoded(picture(3, 40, 40)))
    data = load(own_tree)
    assert data.fingerprint == before
    with pytest.raises(BadInput, match=rf"{image} has \d+ bytes and had \d+ when the source was read"):
        list(train(data, batch_size=9)) if split == "train" else evaluation(data)
    assert not cache_path(own_tree).exists()
    assert load(own_tree).fingerprint != before


def test_an_image_added_with_the_folders_times_set_back_is_noticed(own_tree: Path) -> None:
    """As rsync -a and tar leave it."""
    before = open_manifest(own_tree)
    folder = own_tree / "train" / WNIDS[0]
    status = folder.stat()
    (folder / "new.JPEG").write_bytes(encoded(picture(3, 40, 40)))
    os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert folder.stat().st_mtime_ns == status.st_mtime_ns
    assert len(open_manifest(own_tree).train) == len(before.train) + 1


def test_a_store_is_not_finished_under_an_identity_that_is_no_longer_true(
    own_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped by one bad image, resumed after an image of a finished shard was rewritten in place."""
    monkeypatch.setattr(store, "MIN_IMAGES_PER_SHARD", 5)
    words = ["prepare", "data=imagenet", f"data.root={own_tree}", f"--out={tmp_path / 'out'}", "--workers=1"]
    words += ["--short-side=64", f"data.resolution={SIDE}"]
    bad = own_tree / "val" / WNIDS[2] / f"{WNIDS[2]}_1.JPEG"
    whole = bad.read_bytes()
    bad.write_bytes(b"x" * len(whole))
    assert cli.main(words) == 2
    bad.write_bytes(whole)
    packed = own_tree / "train" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG"
    packed.write_bytes(encoded(picture(3, 40, 40)))
    capsys.readouterr()
    assert cli.main(words) == 2
    assert "has changed since this was begun" in capsys.readouterr().err
    assert not (tmp_path / "out" / store.HEADER).exists()
    assert cli.main(words) == 2  # the next start knows the new identity
    assert "was begun with other settings or data" in capsys.readouterr().err
