"""Reads an image tree in torchvision's ImageFolder layout and names what is wrong with it, with the remedy."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness.record.errors import BadInput

# torchvision.datasets.folder.IMG_EXTENSIONS
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
EVALUATION_NAMES = ("val", "validation")
SCAN_THREADS = 16  # on network disks the scan waits for the server, so threads pay although Python has one lock
LAYOUT = "the folder that holds train/<class>/*.JPEG and val/<class>/*.JPEG"


@dataclass
class Folder:
    """One split as it was found: paths relative to the root, in ImageFolder's order, and each directory's mtime."""

    name: str
    classes: list[str]
    paths: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    sizes_bytes: list[int] = field(default_factory=list)
    directories: dict[str, int] = field(default_factory=dict)
    ignored_files: int = 0  # files that are no images by their suffix, as ImageFolder ignores them


def split_folders(root: str | os.PathLike[str] | None) -> tuple[Path, tuple[str, str]]:
    """The root and the names of its two split folders, whose class folders agree. Raises BadInput with the remedy."""
    if root is None or str(root) in ("", "???"):
        raise BadInput(f"data.root is not set: pass data.root=/path/to/imagenet, {LAYOUT}")
    path = Path(root).expanduser()
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise BadInput(f"data.root={path} {what}: set data.root to {LAYOUT}")
    entries = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    if not entries:
        raise BadInput(f"data.root={path} is empty: unpack the images there, or set data.root to {LAYOUT}")
    evaluation = next((name for name in EVALUATION_NAMES if (path / name).is_dir()), None)
    if not (path / "train").is_dir() or evaluation is None:
        raise BadInput(f"data.root={path}: {_why_no_splits(path, entries, evaluation)}")
    train_classes, evaluation_classes = (_class_folders(path, name) for name in ("train", evaluation))
    only_train = sorted(set(train_classes) - set(evaluation_classes))
    only_evaluation = sorted(set(evaluation_classes) - set(train_classes))
    if only_train:
        raise BadInput(
            f"data.root={path}: {_listed(only_train)} in train/ but missing in {evaluation}/: unpack it again"
        )
    if only_evaluation:
        raise BadInput(
            f"data.root={path}: {_listed(only_evaluation)} in {evaluation}/ but missing in train/: unpack it again"
        )
    return path, ("train", evaluation)


def scan_split(root: Path, name: str) -> Folder:
    """Every image of a split. Raises BadInput for a class without images, an empty file or a stray AppleDouble file."""
    classes = _class_folders(root, name)
    found = Folder(name, classes)
    found.directories[name] = os.stat(root / name).st_mtime_ns
    with ThreadPoolExecutor(SCAN_THREADS) as threads:
        # one class after another in the result, whatever order the threads finish in
        for label, part in enumerate(threads.map(lambda c: _walk(root, f"{name}/{c}"), classes)):
            before = len(found.paths)
            for directory, modified_ns, files, ignored_files in part:
                found.directories[directory] = modified_ns
                found.ignored_files += ignored_files
                for file, size_bytes in files:
                    _check_file(root, f"{directory}/{file}", size_bytes)
                    found.paths.append(f"{directory}/{file}")
                    found.sizes_bytes.append(size_bytes)
            if len(found.paths) == before:
                raise BadInput(
                    f"{root}/{name}/{classes[label]} holds no image ({', '.join(IMAGE_SUFFIXES)}): "
                    "unpack that class again, or remove its folder from both splits"
                )
            found.labels.extend([label] * (len(found.paths) - before))
    return found


def _walk(root: Path, directory: str) -> list[tuple[str, int, list[tuple[str, int]], int]]:
    """(directory, mtime, sorted (image, bytes), other files), in the order of ImageFolder: sorted(os.walk(class))."""
    parts = []
    try:
        for where, _, names in os.walk(root / directory, onerror=_raise, followlinks=True):
            modified_ns = os.stat(where).st_mtime_ns
            relative = directory + where[len(str(root / directory)) :]
            images = sorted(name for name in names if name.lower().endswith(IMAGE_SUFFIXES))
            sizes = [(name, os.stat(f"{where}/{name}").st_size) for name in images]
            parts.append((relative, modified_ns, sizes, len(names) - len(images)))
    except OSError as error:  # a broken link, no permission: os.walk alone would leave the folder out silently
        raise BadInput(
            f"{error.filename} cannot be read ({error.strerror}): restore it or mend its permissions"
        ) from error
    return sorted(parts, key=lambda part: part[0])


def _raise(error: OSError) -> None:
    raise error


def _check_file(root: Path, path: str, size_bytes: int) -> None:
    if size_bytes == 0:
        raise BadInput(f"{root}/{path} is empty (0 bytes): copy or unpack it again")
    if path.rsplit("/", 1)[1].startswith("._"):
        raise BadInput(f"{root}/{path} is an AppleDouble file, no image: delete them (find {root} -name '._*' -delete)")


def _class_folders(root: Path, name: str) -> list[str]:
    """Sorted class folders of a split; a split of loose images or archives is refused with what to do about it."""
    with os.scandir(root / name) as entries:
        listed = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    classes = sorted(entry for entry, is_folder in listed if is_folder)
    loose = [entry for entry, is_folder in listed if not is_folder]
    images = [entry for entry in loose if entry.lower().endswith(IMAGE_SUFFIXES)]
    archives = [entry for entry in loose if entry.endswith((".tar", ".tar.gz", ".zip"))]
    if not classes and archives:
        raise BadInput(
            f"{root}/{name} holds {len(archives)} archives and no class folder: unpack each into a folder of its name "
            f"(for f in *.tar; do mkdir ${{f%.tar}} && tar xf $f -C ${{f%.tar}}; done)"
        )
    if images and (not classes or len(images) > len(classes)):
        raise BadInput(
            f"{root}/{name} holds {len(images)} images that are not sorted into class folders: move each into "
            f"{name}/<class>/ (for ImageNet's validation set the script valprep.sh of "
            "github.com/soumith/imagenetloader.torch does it)"
        )
    if not classes:
        raise BadInput(f"{root}/{name} holds no class folder: set data.root to {LAYOUT}")
    return classes


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


def _listed(names: list[str]) -> str:
    head = ", ".join(names[:3])
    return f"class {head} is" if len(names) == 1 else f"{len(names)} classes ({head}{', ...' if names[3:] else ''}) are"
