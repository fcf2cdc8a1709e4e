"""Which layout a root holds; a root that is none of them is told what is wrong with it, with the remedy."""

from __future__ import annotations

import os
from pathlib import Path

from harness.measure.data.layouts.folders import Seen, class_folders, flat_folder, names_in
from harness.measure.data.layouts.found import Reading, cannot_read, is_image, stamp
from harness.measure.data.layouts.labels import tiny_annotations
from harness.record.errors import BadInput

EVALUATION_NAMES = ("val", "validation")
LAYOUT = "the folder that holds train/<class>/*.JPEG and val/<class>/*.JPEG"
TINY_TABLE = "val/val_annotations.txt"


def checked_root(root: str | os.PathLike[str] | None) -> Path:
    """data.root as a folder that is there. Raises BadInput with the remedy."""
    if root is None or str(root) in ("", "???"):
        raise BadInput(f"data.root is not set: pass data.root=/path/to/imagenet, {LAYOUT}")
    path = Path(root).expanduser()
    try:
        if not path.is_dir():
            what = "is not a folder" if path.exists() else "does not exist"
            raise BadInput(f"data.root={path} {what}: set data.root to {LAYOUT}")
    except OSError as error:
        raise cannot_read(f"data.root={path}", error) from error
    return path


def read(path: Path) -> Reading:
    """Everything under a root (of `checked_root`). Raises BadInput, with the remedy, for every wrong tree it knows."""
    folders, files = names_in(path)
    if not folders and not files:
        raise BadInput(f"data.root={path} is empty: unpack the images there, or set data.root to {LAYOUT}")
    root, seen = str(path), Seen()
    evaluation = next((name for name in EVALUATION_NAMES if name in folders), None)
    if "train" not in folders or evaluation is None:
        raise BadInput(f"data.root={path}: {_why_no_splits(path, folders + files, evaluation)}")
    if (path / TINY_TABLE).is_file():
        return _tiny(path, seen)
    for name in ("train", evaluation):
        _check_class_folders(path, name)
    return Reading(
        "class folders",
        "the folders' names",
        class_folders(root, "train", seen),
        class_folders(root, evaluation, seen),
    )


def _tiny(path: Path, seen: Seen) -> Reading:
    """Tiny ImageNet as its zip unpacks: train/<wnid>/images/, val/images/ and val/val_annotations.txt."""
    root = str(path)
    train = class_folders(root, "train", seen, tables=("_boxes.txt",))
    evaluation = flat_folder(root, "val/images", tiny_annotations(path / TINY_TABLE), f"{root}/{TINY_TABLE}", seen)
    evaluation.stamps[TINY_TABLE] = stamp(path / TINY_TABLE)
    return Reading("Tiny ImageNet as downloaded", f"the folders' names and {TINY_TABLE}", train, evaluation)


def _check_class_folders(root: Path, name: str) -> None:
    """Refuses a split of loose images or archives, with what to do about it."""
    classes, loose = names_in(root / name)
    images = [entry for entry in loose if is_image(entry)]
    archives = [entry for entry in loose if entry.endswith((".tar", ".tar.gz", ".zip"))]
    if not classes and archives:
        raise BadInput(
            f"{root}/{name} holds {len(archives)} archives and no class folder: unpack each into a folder of its name "
            f"(for f in *.tar; do mkdir ${{f%.tar}} && tar xf $f -C ${{f%.tar}}; done)"
        )
    if images and not classes:
        raise BadInput(
            f"{root}/{name} holds {len(images)} images that are not sorted into class folders: move each into "
            f"{name}/<class>/"
        )
    if not classes:
        raise BadInput(f"{root}/{name} holds no class folder: set data.root to {LAYOUT}")


def _why_no_splits(path: Path, entries: list[str], evaluation: str | None) -> str:
    official = path / "ILSVRC" / "Data" / "CLS-LOC"
    if official.is_dir() or (path / "Data" / "CLS-LOC").is_dir():
        inner = official if official.is_dir() else path / "Data" / "CLS-LOC"
        return f"this is the archive's own tree, point data.root at {inner}"
    if any(name.endswith((".tar", ".tar.gz", ".zip")) for name in entries) and "train" not in entries:
        return f"archives that are not unpacked yet: unpack them into {LAYOUT}"
    if path.name in ("train", *EVALUATION_NAMES) and (path.parent / "train").is_dir():
        return f"this is one split, point data.root at its parent {path.parent}"
    nested = [name for name in entries if (path / name / "train").is_dir()]
    if nested:
        return f"train/ lies one folder deeper, point data.root at {path / nested[0]}"
    if "train" not in entries:
        return f"no train/ in it (found {', '.join(entries[:4])}): set data.root to {LAYOUT}"
    if evaluation is None:
        return "no val/ in it (val/<class>/*.JPEG): without a validation set no target can be measured"
    return f"train or {evaluation} is not a folder: set data.root to {LAYOUT}"
