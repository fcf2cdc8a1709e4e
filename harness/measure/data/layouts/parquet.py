"""Hugging Face's parquet files: image.bytes, image.path and label. Read as streams, by `harness prepare` alone.

The label is a number, and the class names in the schema are words; the wnid stands in the path. pyarrow is the optional
extra "parquet".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.measure.data.layouts.labels import trailing_wnid
from harness.measure.data.layouts.scan import Scan, check_file, stamp
from harness.record.errors import BadInput

ROWS = 64  # read at once


def parquet(root: Path, files: list[str]) -> tuple[Scan, set[str]]:
    """Every image of some files, and where the labels come from. Reads them whole: sizes stand nowhere else.

    Raises BadInput where there is no row or no label.
    """
    scan, labels_from = Scan(containers=files, streamed=True), set()
    for number, name in enumerate(files):
        scan.stamps[name] = stamp(root / name)
        row = -1
        for row, (path, label, data) in enumerate(_rows(root / name)):
            image = path or f"{Path(name).stem}_{row:06d}"
            where = f"{root / name}:{image}"
            check_file(where, image, len(data))
            wnid = trailing_wnid(image.rsplit("/", 1)[-1].rsplit(".", 1)[0])
            own = label if wnid is None else wnid
            if own is None:
                raise BadInput(f"{where} has no label: neither in the column label nor at the end of image.path")
            labels_from.add("the images' names" if wnid else "the column label")
            scan.add_inside(number, row, image, own, len(data))
        if row < 0:
            raise BadInput(f"{root / name} holds no row: fetch it again")
    return scan, labels_from


def stream(path: Path) -> Iterator[tuple[int, bytes]]:
    """(row, bytes) of every image of a file, in its order. Raises BadInput."""
    for row, (_, _, data) in enumerate(_rows(path)):
        yield row, data


def _rows(path: Path) -> Iterator[tuple[str | None, int | None, bytes]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise BadInput(f"{path} needs pyarrow: pip install 'ai-efficiency-remeasured[parquet]'") from error
    with _whole(path, ArrowException), ParquetFile(path) as file:
        names = set(file.schema_arrow.names)
        if "image" not in names:
            raise BadInput(f"{path} has no column image (it has {', '.join(sorted(names))}): it is another data set")
        columns = ["image", "label"] if "label" in names else ["image"]
        for batch in file.iter_batches(ROWS, columns=columns):
            for row in batch.to_pylist():
                if row["image"] is None or row["image"].get("bytes") is None:
                    raise BadInput(f"{path} holds paths in place of images: fetch the data set with its images")
                yield row["image"].get("path"), row.get("label"), row["image"]["bytes"]


@contextmanager
def _whole(path: Path, arrow_error: Any) -> Iterator[None]:
    try:
        yield
    except (arrow_error, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"{path} is damaged or cut short ({reason}): fetch it again") from error
