"""An archive that is cut short, mixed up or without labels gets one line; nothing is read silently less."""

import sys
import tarfile
from pathlib import Path

import pytest

from harness.measure.data.store.manifest import open_manifest
from harness.record.errors import BadInput
from tests.measure.data import made
from tests.measure.data.conftest import WNIDS


@pytest.fixture(scope="module")
def images() -> tuple[made.Images, made.Images]:
    return made.make_images(train=3, evaluation=1)


def refused(root: Path, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        open_manifest(root)
    assert "\n" not in str(caught.value)


CUT = [0.1, 0.5, 0.7]  # a plain tar ends in 10 KB of padding, which may be missing


@pytest.mark.parametrize("share", [*CUT, "at a member", "inner tar without its end"])
def test_a_plain_tar_cut_short(images: tuple[made.Images, made.Images], tmp_path: Path, share: float | str) -> None:
    """At any place, also between two members, where a reader of tars sees nothing amiss."""
    made.official_tars(tmp_path, *images)
    path = tmp_path / "ILSVRC2012_img_train.tar"
    whole = path.read_bytes()
    if share == "at a member":
        with tarfile.open(path) as tar:
            path.write_bytes(whole[: tar.getmembers()[2].offset])
    elif share == "inner tar without its end":
        inner = []
        for name, data in made.class_tars(images[0]):
            kept = data.rstrip(b"\0")
            inner.append((name, kept + b"\0" * (-len(kept) % tarfile.BLOCKSIZE)))
        path.write_bytes(made.tar_bytes(inner))
    else:
        path.write_bytes(whole[: int(share * len(whole))])
    refused(tmp_path, "ILSVRC2012_img_train.tar is damaged or cut short .*: fetch it again")


@pytest.mark.parametrize("share", CUT)
def test_a_compressed_tar_cut_short(images: tuple[made.Images, made.Images], tmp_path: Path, share: float) -> None:
    made.huggingface_archives(tmp_path, *images)
    path = tmp_path / "data" / "train_images_1.tar.gz"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(tmp_path, "train_images_1.tar.gz is damaged or cut short .*: fetch it again")


@pytest.mark.parametrize("share", CUT)
def test_a_parquet_file_cut_short(images: tuple[made.Images, made.Images], tmp_path: Path, share: float) -> None:
    pytest.importorskip("pyarrow", reason="parquet needs pyarrow (the extra parquet)")
    made.huggingface_parquet(tmp_path, *images)
    path = tmp_path / "data" / "validation-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(tmp_path, "validation-00000-of-00001.parquet is damaged or cut short .*: fetch it again")


def test_the_devkit_is_missing(images: tuple[made.Images, made.Images], tmp_path: Path) -> None:
    made.official_tars(tmp_path, *images)
    (tmp_path / "ILSVRC2012_devkit_t12.tar.gz").unlink()
    refused(tmp_path, "ILSVRC2012_val_00000001.JPEG has no label: .*ILSVRC2012_devkit_t12.tar.gz")


def test_the_devkit_is_damaged(images: tuple[made.Images, made.Images], tmp_path: Path) -> None:
    made.official_tars(tmp_path, *images)
    path = tmp_path / "ILSVRC2012_devkit_t12.tar.gz"
    path.write_bytes(path.read_bytes()[:300])
    refused(tmp_path, "ILSVRC2012_devkit_t12.tar.gz is no devkit of ILSVRC 2012, or damaged")


def test_a_solution_without_a_class(images: tuple[made.Images, made.Images], tmp_path: Path) -> None:
    made.kaggle(tmp_path, *images)
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\nILSVRC2012_val_00000001,\n")
    refused(tmp_path, r"LOC_val_solution.csv is damaged \(line 2\)")


def test_boxes_that_are_no_xml(images: tuple[made.Images, made.Images], tmp_path: Path) -> None:
    made.kaggle_without_csv(tmp_path, *images)
    next((tmp_path / "ILSVRC" / "Annotations" / "CLS-LOC" / "val").iterdir()).write_text("<annotation><object>")
    refused(tmp_path, r"ILSVRC2012_val_\d+.xml is damaged \(line 1\)")


def test_shards_of_two_sets(images: tuple[made.Images, made.Images], tmp_path: Path) -> None:
    made.webdataset(tmp_path, *images)
    name, wnid, data = images[0][0]
    members = [(f"{name}.jpg", data), (f"{name}.cls", str(WNIDS.index(wnid) + 1).encode())]
    (tmp_path / "imagenet1k-train-0000.tar").write_bytes(made.tar_bytes(members))
    refused(tmp_path, "by the images' names label 1 stands for n01440764 and n02085620: shards of several")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("n01440764_1", "n01440764_2"), "two labels stand for one wnid"),
        (("n01440764_1", "a"), "label 1 stands for no wnid, others do"),
    ],
)
def test_labels_that_do_not_fit_the_names(
    images: tuple[made.Images, made.Images], tmp_path: Path, names: tuple[str, str], message: str
) -> None:
    for split in ("train", "val"):
        members = []
        for label, name in enumerate(names):
            members += [(f"{name}.jpg", images[0][label][2]), (f"{name}.cls", str(label).encode())]
        made.write(tmp_path / f"x-{split}-0.tar", made.tar_bytes(members))
    refused(tmp_path, message)


def test_a_shard_without_labels(images: tuple[made.Images, made.Images], tmp_path: Path) -> None:
    made.webdataset(tmp_path, *images)
    (tmp_path / "imagenet1k-validation-0000.tar").write_bytes(made.tar_bytes([("a.jpg", images[0][0][2])]))
    refused(tmp_path, "imagenet1k-validation-0000.tar:a.jpg has no label")


def test_plain_and_compressed_shards(images: tuple[made.Images, made.Images], tmp_path: Path) -> None:
    made.huggingface_plain_tars(tmp_path, *images)
    members = [(f"{name}_{wnid}.JPEG", data) for name, wnid, data in images[0]]
    (tmp_path / "data" / "train_images_1.tar").write_bytes(made.tar_bytes(members, "w:gz"))
    refused(tmp_path, "plain and compressed tars mixed: make them all alike")


def test_an_empty_image_in_a_tar(images: tuple[made.Images, made.Images], tmp_path: Path) -> None:
    made.huggingface_plain_tars(tmp_path, *images)
    path = tmp_path / "data" / "val_images.tar"
    path.write_bytes(made.tar_bytes([("ILSVRC2012_val_00000001_n01440764.JPEG", b"")]))
    refused(tmp_path, r"ILSVRC2012_val_00000001_n01440764.JPEG is empty \(0 bytes\)")


def test_parquet_without_pyarrow(
    images: tuple[made.Images, made.Images], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="made with pyarrow")
    made.huggingface_parquet(tmp_path, *images)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    refused(tmp_path, r"needs pyarrow: pip install 'ai-efficiency-remeasured\[parquet\]'")


def test_parquet_of_another_data_set(images: tuple[made.Images, made.Images], tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="made with pyarrow")
    from pyarrow import parquet

    made.huggingface_parquet(tmp_path, *images)
    parquet.write_table(pa.table({"text": ["a"]}), tmp_path / "data" / "train-00000-of-00002.parquet")
    refused(tmp_path, r"train-00000-of-00002.parquet has no column image \(it has text\)")


def test_numbers_without_wnids_keep_their_order(images: tuple[made.Images, made.Images], tmp_path: Path) -> None:
    """Shards of a set that is not ImageNet: the class names are the numbers."""
    for split, part in (("train", images[0]), ("val", images[1])):
        members = []
        for row, (_, wnid, data) in enumerate(part):
            members += [(f"{row:05d}.jpg", data), (f"{row:05d}.cls", str(9 + WNIDS.index(wnid)).encode())]
        made.write(tmp_path / f"flowers-{split}-0.tar", made.tar_bytes(members))
    assert open_manifest(tmp_path).classes == ("09", "10", "11")


def test_a_changed_tar_is_read_again(images: tuple[made.Images, made.Images], tmp_path: Path) -> None:
    made.official_tars(tmp_path, *images)
    before = open_manifest(tmp_path)
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(made.tar_bytes(made.class_tars(images[0][:-1])))
    after = open_manifest(tmp_path)
    assert (len(before.train), len(after.train)) == (9, 8)
    assert before.fingerprint != after.fingerprint
