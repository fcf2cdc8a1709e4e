"""ImageNet's eight layouts, each made from the same generated images as their publishers make them."""

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.io import savemat

from tests.measure.data.conftest import WNIDS, encoded, picture

Images = list[tuple[str, str, bytes]]
"""(name without suffix, wnid, bytes) of every image of a split."""


def make_images(train: int = 4, evaluation: int = 2) -> tuple[Images, Images]:
    """Names as ImageNet's; validation images in an order that is not that of the classes."""
    splits: tuple[Images, Images] = ([], [])
    for label, wnid in enumerate(WNIDS):
        for i in range(train):
            image = picture(100 * label + i, 70 + 7 * i, 90 - 5 * i)
            options = {"quality": 96, "subsampling": 0} if i % 2 else {"quality": 88}
            splits[0].append((f"{wnid}_{17 * i + label}", wnid, encoded(image, **options)))
        for i in range(evaluation):
            number = i * len(WNIDS) + (label * 2) % len(WNIDS) + 1
            splits[1].append(
                (f"ILSVRC2012_val_{number:08d}", wnid, encoded(picture(900 + 10 * label + i, 80, 70 + label)))
            )
    return splits[0], sorted(splits[1])


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def tar_bytes(members: list[tuple[str, bytes]], mode: str = "w") -> bytes:
    """A tar in GNU format, as the official ones are."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=tarfile.GNU_FORMAT) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def meta_mat(wnids: tuple[str, ...]) -> bytes:
    """The devkit's table of synsets: a (n, 1) struct array, leaves in an order of their own, then their parents."""
    leaves = [wnids[i] for i in np.random.default_rng(0).permutation(len(wnids))]
    fields = (
        "ILSVRC2012_ID",
        "WNID",
        "words",
        "gloss",
        "num_children",
        "children",
        "wordnet_height",
        "num_train_images",
    )
    synsets = np.zeros((len(leaves) + 2, 1), dtype=[(name, object) for name in fields])
    for row, wnid in enumerate([*leaves, "n00001740", "n00001930"]):
        children = [] if row < len(leaves) else [1, 2]
        values = (row + 1, wnid, "tench, Tinca tinca", "a fish", len(children), children, len(children), 1300)
        synsets[row, 0] = tuple(np.array(v) if not isinstance(v, str) else v for v in values)
    stream = io.BytesIO()
    savemat(stream, {"synsets": synsets})
    return stream.getvalue()


def numbers_of(wnids: tuple[str, ...]) -> dict[str, int]:
    """ILSVRC2012_ID of each wnid in `meta_mat`."""
    return {wnids[i]: n for n, i in enumerate(np.random.default_rng(0).permutation(len(wnids)), start=1)}


def devkit_files(evaluation: Images) -> list[tuple[str, bytes]]:
    numbers = numbers_of(WNIDS)
    truth = "".join(f"{numbers[wnid]}\n" for _, wnid, _ in evaluation)
    base = "ILSVRC2012_devkit_t12/"
    return [
        (f"{base}readme.txt", b"Introduction"),
        (f"{base}data/meta.mat", meta_mat(WNIDS)),
        (f"{base}data/ILSVRC2012_validation_ground_truth.txt", truth.encode()),
    ]


def class_folders(root: Path, train: Images, evaluation: Images) -> None:
    for split, images in (("train", train), ("val", evaluation)):
        for name, wnid, data in images:
            write(root / split / wnid / f"{name}.JPEG", data)


def kaggle(root: Path, train: Images, evaluation: Images) -> None:
    base = root / "ILSVRC" / "Data" / "CLS-LOC"
    for name, wnid, data in train:
        write(base / "train" / wnid / f"{name}.JPEG", data)
    for name, wnid, data in evaluation:
        write(base / "val" / f"{name}.JPEG", data)
        box = f"<object><name>{wnid}</name><bndbox><xmin>1</xmin></bndbox></object>"
        xml = f"<annotation><folder>val</folder><filename>{name}</filename>{box}{box}</annotation>"
        write(root / "ILSVRC" / "Annotations" / "CLS-LOC" / "val" / f"{name}.xml", xml.encode())
    write(base / "test" / "ILSVRC2012_test_00000001.JPEG", b"not read")
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["ImageId", "PredictionString"])
    table.writerows([name, f"{wnid} 85 1 499 272 {wnid} 1 1 20 20 "] for name, wnid, _ in reversed(evaluation))
    write(root / "LOC_val_solution.csv", text.getvalue().encode())


def kaggle_without_csv(root: Path, train: Images, evaluation: Images) -> None:
    kaggle(root, train, evaluation)
    (root / "LOC_val_solution.csv").unlink()


def official_unpacked(root: Path, train: Images, evaluation: Images) -> None:
    for name, wnid, data in train:
        write(root / "ILSVRC2012_img_train" / wnid / f"{name}.JPEG", data)
    for name, _, data in evaluation:
        write(root / "ILSVRC2012_img_val" / f"{name}.JPEG", data)
    for path, data in devkit_files(evaluation):
        write(root / path, data)


def class_tars(train: Images) -> list[tuple[str, bytes]]:
    return [
        (f"{wnid}.tar", tar_bytes([(f"{name}.JPEG", data) for name, w, data in train if w == wnid])) for wnid in WNIDS
    ]


def official_tars(root: Path, train: Images, evaluation: Images) -> None:
    write(root / "ILSVRC2012_img_train.tar", tar_bytes(class_tars(train)))
    write(root / "ILSVRC2012_img_val.tar", tar_bytes([(f"{name}.JPEG", data) for name, _, data in evaluation]))
    write(root / "ILSVRC2012_devkit_t12.tar.gz", tar_bytes(devkit_files(evaluation), "w:gz"))
    write(root / "ILSVRC2012_img_train_t3.tar", b"dogs of task 3: not read")


def class_tars_in_a_folder(root: Path, train: Images, evaluation: Images) -> None:
    """The outer training tar unpacked, the class tars not."""
    for name, data in class_tars(train):
        write(root / "train" / name, data)
    for name, wnid, data in evaluation:
        write(root / "val" / wnid / f"{name}.JPEG", data)


def tiny_imagenet(root: Path, train: Images, evaluation: Images) -> None:
    for name, wnid, data in train:
        write(root / "train" / wnid / "images" / f"{name}.JPEG", data)
        write(root / "train" / wnid / f"{wnid}_boxes.txt", b"0\t0\t63\t63\n")
    for name, _, data in evaluation:
        write(root / "val" / "images" / f"{name}.JPEG", data)
    table = "".join(f"{name}.JPEG\t{wnid}\t0\t0\t63\t63\n" for name, wnid, _ in evaluation)
    write(root / "val" / "val_annotations.txt", table.encode())


def _huggingface_names(images: Images) -> list[tuple[str, bytes]]:
    return [(f"{name}_{wnid}.JPEG", data) for name, wnid, data in images]


def huggingface_archives(root: Path, train: Images, evaluation: Images, mode: str = "w:gz") -> None:
    suffix = ".tar.gz" if mode == "w:gz" else ".tar"
    named = _huggingface_names(train[::2] + train[1::2])
    for number, part in enumerate((named[:5], named[5:])):
        write(root / "data" / f"train_images_{number}{suffix}", tar_bytes(part, mode))
    write(root / "data" / f"val_images{suffix}", tar_bytes(_huggingface_names(evaluation), mode))
    write(root / "data" / f"test_images{suffix}", b"not read")


def huggingface_plain_tars(root: Path, train: Images, evaluation: Images) -> None:
    huggingface_archives(root, train, evaluation, "w")


def huggingface_unpacked(root: Path, train: Images, evaluation: Images) -> None:
    for split, images in (("train", train), ("val", evaluation)):
        for name, data in _huggingface_names(images):
            write(root / split / name, data)


def webdataset(root: Path, train: Images, evaluation: Images, *, notes: str = "cls") -> None:
    """Shuffled shards; .jpg, .jpeg and .JPEG; the label as .cls, or as .json with the file's name."""
    for split, images in (("train", train), ("validation", evaluation)):
        order = np.random.default_rng(1).permutation(len(images))
        for shard, rows in enumerate(np.array_split(order, 3)):
            members = []
            for row in rows:
                name, wnid, data = images[row]
                label = WNIDS.index(wnid)
                key = name if notes == "cls" else f"{row:06d}"
                members.append((f"{key}.{('jpg', 'jpeg', 'JPEG')[row % 3]}", data))
                if notes == "cls":
                    members.append((f"{key}.cls", str(label).encode()))
                else:
                    said = {"label": label, "filename": f"{wnid}/{name}.JPEG", "width": 90}
                    members.append((f"{key}.json", json.dumps(said).encode()))
            write(root / f"imagenet1k-{split}-{shard:04d}.tar", tar_bytes(members))


def webdataset_json(root: Path, train: Images, evaluation: Images) -> None:
    webdataset(root, train, evaluation, notes="json")


def huggingface_parquet(root: Path, train: Images, evaluation: Images) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    for split, images, files in (("train", train[::3] + train[1::3] + train[2::3], 2), ("validation", evaluation, 1)):
        for number, rows in enumerate(np.array_split(np.arange(len(images)), files)):
            part = [images[row] for row in rows]
            schema = {"huggingface": json.dumps({"info": {"names": ["tench", "Chihuahua", "tractor"]}})}
            table = pa.table(
                {
                    "image": [{"bytes": data, "path": f"{name}_{wnid}.JPEG"} for name, wnid, data in part],
                    "label": [WNIDS.index(wnid) for _, wnid, _ in part],
                }
            ).replace_schema_metadata(schema)
            path = root / "data" / f"{split}-{number:05d}-of-{files:05d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(table, path, row_group_size=2)


IN_PLACE: dict[str, Callable[[Path, Images, Images], None]] = {
    "class folders": class_folders,
    "Kaggle": kaggle,
    "Kaggle, labels from the boxes": kaggle_without_csv,
    "official, unpacked": official_unpacked,
    "official tars": official_tars,
    "class tars in a folder": class_tars_in_a_folder,
    "Tiny ImageNet": tiny_imagenet,
    "Hugging Face archives, decompressed": huggingface_plain_tars,
    "Hugging Face archives, unpacked": huggingface_unpacked,
    "WebDataset, .cls": webdataset,
    "WebDataset, .json": webdataset_json,
}
STREAMED = {"Hugging Face archives": huggingface_archives, "Hugging Face parquet": huggingface_parquet}
LAYOUTS = {**IN_PLACE, **STREAMED}


def snapshot(root: Path) -> Iterator[tuple[str, int, bytes]]:
    """Path, change time and content of every file under a root."""
    for path in sorted(root.rglob("*")):
        yield str(path), path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b""
