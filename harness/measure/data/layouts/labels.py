"""Tables that say the class of each image of a flat split: image name -> class name."""

import io
import re
import tarfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

from harness.measure.data.layouts.scan import SCAN_THREADS, cannot_read
from harness.record.errors import BadInput

KAGGLE_TABLES = ("LOC_val_solution.csv", "Annotations/CLS-LOC/val")
_TRAILING_WNID, _LEADING_WNID = re.compile(r"_(n\d{8})$"), re.compile(r"^(n\d{8})_")


def trailing_wnid(stem: str) -> str | None:
    """n01440764 of n01440764_10026_n01440764 and ILSVRC2012_val_00000293_n01440764, as Hugging Face names images."""
    return match[1] if (match := _TRAILING_WNID.search(stem)) else None


def leading_wnid(stem: str) -> str | None:
    """n01440764 of n01440764_10026, as ImageNet names training images."""
    return match[1] if (match := _LEADING_WNID.search(stem)) else None


class LabelTable:
    """Labels of a split whose images lie loose: image name -> class. Read when the first label is asked for."""

    def __init__(
        self, path: Path | None, read: Callable[[Path], dict[str, str]] | None = None, words: str | None = None
    ) -> None:
        self.path, self._read = path, read
        self.words = words or "a table of labels (Kaggle's LOC_val_solution.csv, ILSVRC2012_devkit_t12.tar.gz)"

    def get(self, image: str) -> str | None:
        """The class of an image, None where there is no table or it does not name the image."""
        return self._labels.get(image)

    @cached_property
    def _labels(self) -> dict[str, str]:
        return {} if self.path is None or self._read is None else self._read(self.path)


def find_table(near: Path) -> LabelTable:
    """The table of ILSVRC 2012's validation labels in a folder or above it: Kaggle's csv, its boxes, the devkit."""
    candidates: tuple[tuple[str, Callable[[Path], dict[str, str]]], ...] = (
        (KAGGLE_TABLES[0], kaggle_solution),
        (KAGGLE_TABLES[1], boxes),
        (f"ILSVRC/{KAGGLE_TABLES[1]}", boxes),
        ("ILSVRC2012_devkit_t12", devkit),
        ("ILSVRC2012_devkit_t12.tar.gz", devkit),
    )
    for name, read in candidates:
        for folder in [near, *near.parents[:3]]:
            if (folder / name).exists():
                return LabelTable(folder / name, read, name.removeprefix("ILSVRC/"))
    return LabelTable(None)


def tiny_annotations(path: Path) -> dict[str, str]:
    """Tiny ImageNet's val_annotations.txt: file name, class and a box, tab-separated.

    Raises BadInput for a damaged line.
    """
    labels = {}
    for number, line in enumerate(_lines(path), start=1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise damaged(path, number)
        labels[columns[0].rsplit(".", 1)[0]] = columns[1].strip()
    return labels


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise cannot_read(path, error) from error
    except UnicodeDecodeError as error:
        raise damaged(path, 1) from error


def damaged(path: Path, line: int) -> BadInput:
    """One line for a table that cannot be read as what its name says."""
    return BadInput(f"{path} is damaged (line {line}): fetch it again from where the data set came from")


def kaggle_solution(path: Path) -> dict[str, str]:
    """Kaggle's LOC_val_solution.csv: ImageId, and boxes that begin with the class.

    Raises BadInput for a damaged line.
    """
    labels = {}
    for number, line in enumerate(_lines(path)[1:], start=2):
        image, _, boxes = line.partition(",")
        if not boxes.split():
            raise damaged(path, number)
        labels[image] = boxes.split()[0]
    return labels


def boxes(folder: Path) -> dict[str, str]:
    """A folder of PASCAL VOC files, one an image: the class of its first box."""

    def read(path: Path) -> tuple[str, str]:
        try:
            name = ElementTree.parse(path).findtext("object/name")
        except ElementTree.ParseError as error:
            raise damaged(path, error.position[0]) from error
        except OSError as error:
            raise cannot_read(path, error) from error
        if name is None:
            raise damaged(path, 1)
        return path.stem, name

    with ThreadPoolExecutor(SCAN_THREADS) as threads:
        return dict(threads.map(read, sorted(folder.glob("*.xml"))))


def devkit(path: Path) -> dict[str, str]:
    """ILSVRC2012_devkit_t12, unpacked or as .tar.gz: line i of the ground truth is validation image i's class.

    It is a number; meta.mat names the numbers: the 1000 synsets without children (devkit's readme.txt).

    Raises BadInput where it is no devkit or cannot be read.
    """
    from scipy.io import loadmat  # not at the top: a third of a second, for those alone who have a devkit

    meta, truth = "data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt"
    try:
        if path.is_dir():
            files = {name: (path / name).read_bytes() for name in (meta, truth)}
        else:
            with tarfile.open(path) as tar:
                files = {}
                for member in tar:
                    for name in (meta, truth):
                        if member.name.endswith(name) and (data := tar.extractfile(member)) is not None:
                            files[name] = data.read()
        synsets = loadmat(io.BytesIO(files[meta]), squeeze_me=True)["synsets"]
        wnids = {int(s["ILSVRC2012_ID"]): str(s["WNID"]) for s in synsets if int(s["num_children"]) == 0}
        numbers = [int(line) for line in files[truth].split()]
        return {f"ILSVRC2012_val_{i:08d}": wnids[number] for i, number in enumerate(numbers, start=1)}
    except OSError as error:
        raise cannot_read(path, error) from error
    except (KeyError, ValueError, TypeError, IndexError, EOFError, tarfile.TarError, zlib.error) as error:
        raise BadInput(f"{path} is no devkit of ILSVRC 2012, or damaged ({error}): fetch it again") from error
