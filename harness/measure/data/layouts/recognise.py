"""Which layout a root holds; a root that is none of them is told what is wrong with it, with the remedy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.measure.data.layouts.archives import ARCHIVE_SUFFIXES, archives
from harness.measure.data.layouts.folders import Seen, class_folders, flat_folder, names_in
from harness.measure.data.layouts.labels import (
    KAGGLE_TABLES,
    LabelTable,
    find_table,
    leading_wnid,
    tiny_annotations,
    trailing_wnid,
)
from harness.measure.data.layouts.parquet import parquet
from harness.measure.data.layouts.scan import RootScan, Scan, cannot_read, is_image, stamp
from harness.record.errors import BadInput

FOLDERS = {"train": ("train", "ILSVRC2012_img_train"), "val": ("val", "validation", "ILSVRC2012_img_val")}
OFFICIAL = {"train": "ILSVRC2012_img_train.tar", "val": "ILSVRC2012_img_val.tar"}
BASES = (".", "data", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")  # Hugging Face's and Kaggle's folders in the root
LAYOUT = "the folder that holds train/<class>/*.JPEG and val/<class>/*.JPEG, or ImageNet's archives"
TINY_TABLE = "val/val_annotations.txt"


@dataclass(frozen=True)
class Place:
    """Where a split lies: a folder, or archives of one kind (tar, parquet), by their paths under the root."""

    kind: str
    paths: list[str]


def checked_root(root: str | os.PathLike[str] | None) -> Path:
    """data.root as a folder that is there. Raises BadInput with the remedy."""
    if root is None or str(root) in ("", "???"):
        raise BadInput(f"data.root is not set: pass data.root=/path/to/imagenet, {LAYOUT}")
    try:
        path = Path(root).expanduser()
        if not path.is_dir():
            what = "is not a folder" if path.exists() else "does not exist"
            raise BadInput(f"data.root={path} {what}: set data.root to {LAYOUT}")
    except OSError as error:
        raise cannot_read(f"data.root={root}", error) from error
    except RuntimeError as error:
        raise BadInput(
            f"data.root={root}: there is no home folder to put in place of ~; write the whole path"
        ) from error
    return path


def read(path: Path) -> RootScan:
    """Everything under a root (of `checked_root`). Raises BadInput, with the remedy, for every wrong root it knows."""
    folders, files = names_in(path)
    if not folders and not files:
        raise BadInput(f"data.root={path} is empty: unpack the images there, or set data.root to {LAYOUT}")
    for base in BASES:
        if (path / base).is_dir():
            train, evaluation = (_place(path, base, split) for split in ("train", "val"))
            if train is not None and evaluation is not None:
                return _read(path, base, train, evaluation)
    raise BadInput(f"data.root={path}: {_why_no_splits(path, folders + files)}")


def _place(root: Path, base: str, split: str) -> Place | None:
    folders, files = names_in(root / base)
    within = "" if base == "." else f"{base}/"
    for name in FOLDERS[split]:
        if name in folders:
            return _inside(root, f"{within}{name}")
    if OFFICIAL[split] in files:  # not ..._t3.tar, which is another task's
        return Place("tar", [f"{within}{OFFICIAL[split]}"])
    other = "train" if split == "val" else None
    of_split = [
        f"{within}{name}"
        for name in files
        if split in name.lower() and (other is None or other not in name.lower()) and not name.startswith("ILSVRC2012")
    ]
    for kind, suffixes in (("parquet", (".parquet",)), ("tar", ARCHIVE_SUFFIXES)):
        if chosen := [name for name in of_split if name.endswith(suffixes)]:
            return Place(kind, chosen)
    return None


def _inside(root: Path, folder: str) -> Place:
    """A split's folder of its own may hold archives in place of images: class tars, shards, parquet."""
    folders, files = names_in(root / folder)
    for kind, suffixes in (("parquet", (".parquet",)), ("tar", ARCHIVE_SUFFIXES)):
        chosen = [name for name in files if name.endswith(suffixes)]  # beside them may lie notes on the shards
        if chosen and not folders and not any(is_image(name) for name in files):
            return Place(kind, [f"{folder}/{name}" for name in chosen])
    return Place("folder", [folder])


def _read(path: Path, base: str, train: Place, evaluation: Place) -> RootScan:
    is_tiny = (path / base / TINY_TABLE).is_file()
    table = LabelTable(path / base / TINY_TABLE, tiny_annotations, TINY_TABLE) if is_tiny else find_table(path / base)
    seen, words = Seen(), set[str]()
    splits = []
    for place, own_table in ((train, LabelTable(None)), (evaluation, table)):
        scan, labels_from = _read_split(path, place, own_table, seen)
        words |= labels_from
        splits.append(scan)
    if table.words in words and table.path is not None:
        splits[1].stamps[os.path.relpath(table.path, path)] = stamp(table.path)
    _name_numbers(path, splits)
    kind = "Tiny ImageNet as downloaded" if is_tiny else _kind(base, train, evaluation, words, table)
    if "tar" in (train.kind, evaluation.kind) and any(scan.streamed for scan in splits):
        kind += ", compressed"
    return RootScan(kind, " and ".join(sorted(words)), splits[0], splits[1])


def _read_split(root: Path, place: Place, table: LabelTable, seen: Seen) -> tuple[Scan, set[str]]:
    if place.kind != "folder":
        return _read_archives(root, place, table)
    (folder,) = place.paths
    folders, files = names_in(root / folder)
    loose = [name for name in files if is_image(name)]
    if folders == ["images"] and not loose:  # Tiny ImageNet's
        folder, folders, loose = f"{folder}/images", [], ["images"]
    if loose and not folders:
        scan, words = flat_folder(str(root), folder, table, seen)
        return scan, {words}
    if not folders:
        raise BadInput(f"{root}/{folder} holds no class folder: set data.root to {LAYOUT}")
    return class_folders(str(root), folder, seen, tables=("_boxes.txt",)), {"the folders' names"}


def _read_archives(root: Path, place: Place, table: LabelTable) -> tuple[Scan, set[str]]:
    beside = sorted({os.path.dirname(name) or "." for name in place.paths})
    stamps = {folder: stamp(root / folder) for folder in beside}  # before reading: another archive is noticed
    scan, words = archives(root, place.paths, table) if place.kind == "tar" else parquet(root, place.paths)
    scan.stamps |= stamps
    return scan, words


def _name_numbers(root: Path, splits: list[Scan]) -> None:
    """Put class names in place of labels that are numbers: the wnid that the images of a number carry in their names.

    Where no name has one, the number itself, with zeros in front, so that their order stays.
    """
    wnids: dict[int, set[str]] = {}
    for scan in splits:
        for entry, number in scan.numbers.items():
            stem = scan.names[entry].rsplit("/", 1)[-1].rsplit(".", 1)[0]
            wnid = trailing_wnid(stem) or leading_wnid(stem)
            wnids.setdefault(number, set()).update({wnid} if wnid else set())
    if not wnids:
        return
    for number, names in sorted(wnids.items()):
        if len(names) > 1:
            raise _mixed(root, f"label {number} stands for {' and '.join(sorted(names))}")
    known = {number: min(names) for number, names in wnids.items() if names}
    if known and len(known) < len(wnids):
        raise _mixed(root, f"label {min(wnids.keys() - known.keys())} stands for no wnid, others do")
    if len(set(known.values())) < len(known):
        raise _mixed(root, "two labels stand for one wnid")
    width = len(str(max(wnids)))
    for scan in splits:
        for entry, number in scan.numbers.items():
            scan.labels[entry] = known.get(number, f"{number:0{width}d}")
        scan.numbers.clear()


def _mixed(root: Path, what: str) -> BadInput:
    return BadInput(f"data.root={root}: by the images' names {what}: shards of several data sets are mixed, or damaged")


def _kind(base: str, train: Place, evaluation: Place, words: set[str], table: LabelTable) -> str:
    if "CLS-LOC" in base or (table.words in words and table.words in KAGGLE_TABLES):
        return "Kaggle's tree, ILSVRC/Data/CLS-LOC"
    if "parquet" in (train.kind, evaluation.kind):
        return "Hugging Face's parquet files"
    if "tar" in (train.kind, evaluation.kind):
        if any(".cls" in word for word in words):
            return "WebDataset shards"
        if os.path.basename(evaluation.paths[0]) == OFFICIAL["val"]:
            return "ILSVRC 2012's official tars"
        if "_images" in train.paths[0]:
            return "Hugging Face's image archives"
        return "tars"
    if table.words in words:
        return "ILSVRC 2012's official files, unpacked"
    return "class folders"


def _why_no_splits(path: Path, entries: list[str]) -> str:
    if path.name in (*FOLDERS["train"], *FOLDERS["val"]) and (path.parent / "train").is_dir():
        return f"this is one split, point data.root at its parent {path.parent}"
    nested = [name for name in entries if (path / name / "train").is_dir()]
    if nested:
        return f"train/ lies one folder deeper, point data.root at {path / nested[0]}"
    has = {split: _place(path, ".", split) is not None for split in ("train", "val")}
    if has["train"]:
        return "no val/ in it, nor archives of it: without a validation set no target can be measured"
    first = ", ".join(entries[:4])
    if has["val"]:
        return f"no train/ in it, nor archives of it (found {first}): set data.root to {LAYOUT}"
    return f"no train/ and no val/ in it, nor archives of them (found {first}): set data.root to {LAYOUT}"
