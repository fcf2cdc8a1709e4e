"""`harness prepare` and data=prepared: reference pixels, resumption, checksums, and every wrong use in one line."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional

from harness import cli
from harness.measure.data.loader import pixels, sampling
from harness.measure.data.store import files as store
from harness.record.errors import BadInput
from tests.measure.data.conftest import WNIDS, encoded
from tests.measure.data.loading import SIDE, digest, evaluation, load, train

SHORT = 64  # 56 * 8 / 7


def prepare(tree: Path, out: Path, *options: str) -> int:
    """The verb, with small sizes unless the options say otherwise."""
    words = [f"--out={out}", f"--short-side={SHORT}", f"data.resolution={SIDE}", "--workers=2"]
    return cli.main(["prepare", "data=imagenet", f"data.root={tree}", *words, *options])  # the last of two counts


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MIN_IMAGES_PER_SHARD", 5)  # so that small sets have several shards


@pytest.fixture(scope="module")
def stores(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Finished stores by the word of data.pixels."""
    base = tmp_path_factory.mktemp("stores")
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        patch.setattr(store, "MIN_IMAGES_PER_SHARD", 5)
        for name, options in (
            ("jpeg64", ()),
            ("raw64", ("--format=raw",)),
            ("raw64square", ("--format=raw", "--square")),
        ):
            made[name] = base / name
            assert prepare(tree, made[name], *options) == 0
    return made


@pytest.mark.parametrize("name", ["jpeg64", "raw64", "raw64square"])
@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_keeps_reference_pixels(tree: Path, stores: dict[str, Path], name: str, workers: int) -> None:
    """Equal to the folder's, which test_folder.py compares with torchvision's reference bit for bit."""
    data = load(stores[name], "prepared", pixels=name, workers=workers)
    assert digest(evaluation(data)) == digest(evaluation(load(tree)))
    data.close()


def _resized_by_pillow(path: str) -> Image.Image:
    return functional.resize(Image.open(path).convert("RGB"), SHORT)


def test_raw_training_crops_are_crops_of_pillows_resize(tree: Path, stores: dict[str, Path]) -> None:
    """random_crop from a raw store is the reference's Resize, RandomCrop, exactly: the recipe of AlexNet and VGG."""
    samples = ImageFolder(str(tree / "train")).samples
    data = load(stores["raw64"], "prepared", pixels="raw64")
    numbers = sampling.draws(1, 1, 0, len(samples))
    out = torch.empty(len(samples), SIDE, SIDE, 3, dtype=torch.uint8)
    data.train_split.train(out, np.arange(len(samples)), numbers, "random_crop")
    for image, (path, label), own, index in zip(out, samples, numbers, range(len(samples)), strict=True):
        resized = _resized_by_pillow(path)
        top, left, _, _ = sampling.random_crop_box(own, resized.height, resized.width, SIDE)
        assert np.array_equal(image.numpy(), np.array(functional.crop(resized, top, left, SIDE, SIDE)))
        assert int(data.train_split.labels[index]) == label


def test_a_square_store_keeps_the_central_square(tree: Path, stores: dict[str, Path]) -> None:
    samples = ImageFolder(str(tree / "train")).samples
    folder = stores["raw64square"]
    split = store.StoredSplit(folder, "train", store.read_header(folder)["files"])
    for row, (path, _) in enumerate(samples):
        stored, height, width = split.image(row)
        expected = functional.center_crop(_resized_by_pillow(path), [SHORT, SHORT])
        assert np.array_equal(stored.view(height, width, 3).numpy(), np.array(expected))


def test_jpeg_training_pixels_are_those_of_a_quality_90_jpeg(tree: Path, stores: dict[str, Path]) -> None:
    path = ImageFolder(str(tree / "train")).samples[3][0]
    data = load(stores["jpeg64"], "prepared", pixels="jpeg64")
    own = sampling.draws(1, 1, 3, 1)
    out = torch.empty(1, SIDE, SIDE, 3, dtype=torch.uint8)
    data.train_split.train(out, np.array([3]), own, "resized_crop")
    jpeg = encoded(_resized_by_pillow(path), quality=90)
    resized = torch.from_numpy(np.array(Image.open(io.BytesIO(jpeg))))
    assert torch.equal(out[0], pixels.training_image(resized, own[0], "resized_crop", SIDE))


@pytest.mark.parametrize("name", ["jpeg64", "raw64"])
def test_workers_change_nothing(stores: dict[str, Path], name: str) -> None:
    alone = load(stores[name], "prepared", pixels=name)
    crew = load(stores[name], "prepared", pixels=name, workers=2)
    assert digest(train(crew)) == digest(train(alone))
    crew.close()


def test_identity_is_the_sources_and_the_pixels_are_in_the_notes(tree: Path, stores: dict[str, Path]) -> None:
    source, data = load(tree), load(stores["jpeg64"], "prepared", pixels="jpeg64")
    assert (data.fingerprint, data.classes, data.subset) == (source.fingerprint, source.classes, source.subset)
    assert (data.train_images, data.evaluation_images) == (source.train_images, source.evaluation_images)
    assert str(data.notes["train_pixels"]).startswith("prepared jpeg64, pillow ")
    assert str(data.notes["evaluation_pixels"]).startswith("reference")


def test_a_subset_of_a_store_is_the_subset_of_the_tree(tree: Path, stores: dict[str, Path]) -> None:
    keep = {"classes": 2, "images_per_class": 3, "evaluation_images_per_class": 2}
    source, data = load(tree, **keep), load(stores["raw64"], "prepared", pixels="raw64", **keep)
    assert data.fingerprint == source.fingerprint
    assert data.subset
    assert digest(evaluation(data)) == digest(evaluation(source))


def test_a_subset_can_be_prepared(tree: Path, tmp_path: Path) -> None:
    assert prepare(tree, tmp_path / "s", "data.classes=2", "data.images_per_class=3") == 0
    data = load(tmp_path / "s", "prepared", pixels="jpeg64")
    assert (data.classes, data.train_images, data.subset) == (2, 6, True)
    assert data.fingerprint == load(tree, classes=2, images_per_class=3).fingerprint


def test_the_number_of_workers_does_not_show(tree: Path, stores: dict[str, Path], tmp_path: Path) -> None:
    assert prepare(tree, tmp_path / "one", "--workers=1") == 0
    assert files_of(tmp_path / "one") == files_of(stores["jpeg64"])


def test_a_file_that_cannot_be_read_stops_it_and_the_same_command_resumes(
    own_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = own_tree / "train" / WNIDS[2] / f"{WNIDS[2]}_2.JPEG"
    whole = bad.read_bytes()
    bad.write_bytes(b"x" * len(whole))
    out = tmp_path / "out"
    assert prepare(own_tree, out, "--workers=1") == 2
    message = capsys.readouterr().err
    assert f"{bad} cannot be decoded" in message
    assert not (out / store.HEADER).exists()
    with pytest.raises(BadInput, match="is not prepared to the end: run the same `harness prepare` again"):
        load(out, "prepared", pixels="jpeg64")
    finished = {path: path.stat().st_ino for path in out.glob("train-*.bin")}
    assert len(finished) == 1  # nine images in shards of five, the ninth is bad
    bad.write_bytes(whole)
    assert prepare(own_tree, out) == 0
    assert all(path.stat().st_ino == inode for path, inode in finished.items())
    assert prepare(own_tree, tmp_path / "fresh") == 0
    assert files_of(out) == files_of(tmp_path / "fresh")


def test_a_shard_cut_short_by_a_crash_is_written_again(own_tree: Path, tmp_path: Path) -> None:
    fresh, out = tmp_path / "fresh", tmp_path / "out"
    assert prepare(own_tree, fresh) == 0
    bad = own_tree / "val" / WNIDS[2] / f"{WNIDS[2]}_1.JPEG"
    whole = bad.read_bytes()
    bad.write_bytes(b"x" * len(whole))
    assert prepare(own_tree, out, "--workers=1") == 2
    bad.write_bytes(whole)
    shard = out / "train-000.bin"
    shard.write_bytes(shard.read_bytes()[:100])
    assert prepare(own_tree, out) == 0
    assert files_of(out) == files_of(fresh)


def test_preparing_twice_does_nothing_twice(
    tree: Path, stores: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in stores["jpeg64"].iterdir()}
    assert prepare(tree, stores["jpeg64"]) == 0
    assert "prepared already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in stores["jpeg64"].iterdir()} == before


def test_verify_finds_one_changed_byte(
    tree: Path, stores: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["prepare", f"--out={stores['jpeg64']}", "--verify"]) == 0
    copied = Path(shutil.copytree(stores["jpeg64"], tmp_path / "copy"))
    shard = copied / "train-001.bin"
    data = bytearray(shard.read_bytes())
    data[-3] ^= 1
    shard.write_bytes(data)
    capsys.readouterr()
    assert cli.main(["prepare", f"--out={copied}", "--verify"]) == 2
    assert f"{shard} is missing or damaged (sha256)" in capsys.readouterr().err


def test_progress_is_told_on_stderr(own_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(own_tree, tmp_path / "out") == 0
    assert "15/15" in capsys.readouterr().err


WRONG_OPTIONS = {
    ("--format=webp",): "argument --format: invalid choice: 'webp'",
    ("--short-side=40",): "--short-side 40 is below data.resolution=56",
    ("--short-side=0",): "argument --short-side: 0: it must be a whole number above 0",
    ("--workers=-1",): "argument --workers: -1: it must be a whole number above 0",
    ("--quality=96",): "argument --quality: 96: above 95",
    ("format=raw",): "format=raw: give it as an option, --format raw",
    ("short_side=64",): "short_side=64: give it as an option, --short-side 64",
    ("data=digits",): "reads original files: pass data=imagenet",
    ("nonsense=1",): "nonsense",
    ("data.classes=7",): "data.classes=7: the data set has 3",
}


@pytest.mark.parametrize("options", WRONG_OPTIONS)
def test_wrong_options_get_one_line(
    own_tree: Path, tmp_path: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two where argparse speaks, whose first line is the usage."""
    try:
        code = prepare(own_tree, tmp_path / "out", *options)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert WRONG_OPTIONS[options] in last
    assert not (tmp_path / "out").exists()


def test_a_disk_too_small_is_told_before_anything_is_written(
    own_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store, "free_bytes", lambda folder: 1000)
    assert prepare(own_tree, tmp_path / "out") == 2
    assert "GB are needed and 0.0 GB are free: use another disk" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(
    own_tree: Path, stores: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(own_tree, own_tree / "train") == 2
    assert "is not empty and holds no prepared set" in capsys.readouterr().err
    assert prepare(own_tree, stores["raw64"]) == 2
    assert "holds a set prepared in another way" in capsys.readouterr().err
    (own_tree / "val" / WNIDS[0] / "x.JPEG").write_bytes(b"no image")
    assert prepare(own_tree, tmp_path / "begun") == 2
    capsys.readouterr()
    assert prepare(own_tree, tmp_path / "begun", "--short-side=70") == 2
    assert "was begun with other settings or data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "flowers"}, "data.name=flowers, but .* holds imagenet: pass data.name=imagenet"),
        ({"pixels": "raw256"}, "data.pixels=raw256, but .* holds jpeg64: pass data.pixels=jpeg64"),
        (
            {"resolution": 64},
            "evaluation at 64 pixels, but the prepared set holds reference crops of 56: set data.resol",
        ),
        ({"crop_ratio": 0.9}, "data.crop_ratio=0.9, but .* was prepared with 0.875"),
        ({"decoder": "turbo"}, "data.decoder=turbo: choose one of"),
    ],
)
def test_a_config_that_does_not_fit_the_store_is_refused(
    stores: dict[str, Path], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        load(stores["jpeg64"], "prepared", **{"pixels": "jpeg64", **changes})


def test_evaluation_at_another_resolution_is_refused_not_resized(stores: dict[str, Path]) -> None:
    data = load(stores["jpeg64"], "prepared", pixels="jpeg64")
    with pytest.raises(BadInput, match="the prepared set holds reference crops of 56"):
        evaluation(data, resolution=SIDE + 8)
    assert next(train(data, resolution=SIDE + 8))[0].shape[-1] == SIDE + 8  # training resolutions are free


def _spoil(folder: Path, how: str) -> Path | None:
    header = folder / store.HEADER
    if how == "not set":
        return None
    if how == "missing":
        return folder / "nowhere"
    if how == "an image tree":
        header.unlink()
        for path in folder.iterdir():
            path.unlink()
    if how == "damaged header":
        header.write_text(header.read_text()[:50])
    if how == "other version":
        header.write_text(json.dumps({**json.loads(header.read_text()), "format": 99}))
    if how == "shard missing":
        (folder / "train-001.bin").unlink()
    if how == "shard cut":
        (folder / "evaluation-000.bin").write_bytes(b"x")
    if how == "index missing":
        (folder / "train.npy").unlink()
    return folder


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("not set", "data.root is not set: pass data.root=, the folder that `harness prepare --out` wrote"),
        ("missing", "nowhere does not exist"),
        ("an image tree", r"is no prepared set \(prepared.json is missing\)"),
        ("damaged header", "prepared.json is damaged .* prepare the set again"),
        ("other version", "has format 99, this version reads 2"),
        ("shard missing", "train-001.bin is missing or has another size"),
        ("shard cut", "evaluation-000.bin is missing or has another size"),
        ("index missing", "train.npy is missing or has another size"),
    ],
)
def test_a_wrong_store_gets_one_line_with_the_remedy(
    stores: dict[str, Path], tmp_path: Path, how: str, message: str
) -> None:
    copied = Path(shutil.copytree(stores["jpeg64"], tmp_path / "copy"))
    with pytest.raises(BadInput, match=message) as caught:
        load(_spoil(copied, how), "prepared", pixels="jpeg64")
    assert "\n" not in str(caught.value)


def test_the_source_may_not_be_a_store(stores: dict[str, Path], tmp_path: Path) -> None:
    assert prepare(stores["jpeg64"], tmp_path / "out", "data=prepared") == 2


def test_prepared_pixels_differ_from_crops_of_the_originals_by_a_few_levels(
    tree: Path, stores: dict[str, Path]
) -> None:
    """The stated difference, on these pictures: a store trains on other pixels, and by how much is bounded."""
    original, data = load(tree, flip=False), load(stores["raw64"], "prepared", pixels="raw64", flip=False)
    numbers = sampling.draws(1, 1, 0, original.train_images)
    outs = []
    for images in (original.train_split, data.train_split):
        out = torch.empty(original.train_images, SIDE, SIDE, 3, dtype=torch.uint8)
        images.train(out, np.arange(original.train_images), numbers, "resized_crop")
        outs.append(out.float())
    difference = float((outs[0] - outs[1]).abs().mean())
    assert 0.5 < difference < 12
