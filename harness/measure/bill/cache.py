"""What was counted of a network of the zoo before, kept in the user's cache under everything it depends on.

Only for answers in seconds (`harness plan`, `harness count`): what a run is billed by, and what `harness check` counts
again, is always counted. An entry that is damaged, or that anything else was counted for, is counted again.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torchvision.models

import harness.models
from harness.measure.bill.count import Bill, bill
from harness.models import ZOO, without_weights
from harness.models import build as build_network
from harness.record.errors import HarnessError
from harness.record.files import write_atomic
from harness.record.protocol import digest

ZOO_FOLDER = Path(harness.models.__file__).parent
_PACKAGES = ("torch", "torchvision", "fvcore")


def bill_of(name: str, *, kwargs: Mapping[str, Any], classes: int, resolution: int, fresh: bool = False) -> Bill:
    """The bill of a network of the zoo; `fresh` counts it again. Raises as `bill` does."""

    def count() -> dict[str, Any]:
        network = without_weights(partial(build_network, name, classes=classes, **kwargs))
        return asdict(bill(network, resolution=resolution))

    return Bill(**cached("bill", name, kwargs, classes, resolution, count, fresh=fresh))


def cached(
    what: str,
    name: str,
    kwargs: Mapping[str, Any],
    classes: int,
    resolution: int,
    count: Callable[[], dict[str, Any]],
    *,
    fresh: bool = False,
) -> dict[str, Any]:
    """What `count` gives for this network, as JSON holds it, from the cache where it is there and whole."""
    if not _constructor(name)[0].startswith(harness.models.__name__):  # a test or a notebook put it into the zoo
        return count()
    asked = {"what": what, "name": name, "kwargs": dict(kwargs), "classes": classes, "resolution": resolution}
    asked |= {"constructor": _constructor(name)}  # the zoo may have another network under this name by now
    under = asked | {"python": platform.python_version(), "source": source(), **{p: version(p) for p in _PACKAGES}}
    path = folder() / f"{digest(under)}.json"
    if not fresh and (entry := _read(path, under)) is not None:
        return entry
    counted = count()
    with suppress(OSError, HarnessError):  # a cache that cannot be written to is none
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps({"under": under, "counted": counted, "seal": digest([under, counted])}))
    return counted


def folder() -> Path:
    """Where the entries lie: $HARNESS_CACHE, else the user's cache."""
    if own := os.environ.get("HARNESS_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ai-and-efficiency" / "counted"


def _read(path: Path, under: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        entry = json.loads(path.read_bytes())
        whole = entry["under"] == under and entry["seal"] == digest([entry["under"], entry["counted"]])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return dict(entry["counted"]) if whole else None


def _constructor(name: str) -> list[str]:
    """What the zoo calls for this name: module, function, and the arguments that are fixed."""
    constructor = ZOO[name]
    if isinstance(constructor, partial):
        fixed = [repr(word) for word in (*constructor.args, *sorted(constructor.keywords.items()))]
        return [constructor.func.__module__, constructor.func.__qualname__, *fixed]
    return [constructor.__module__, constructor.__qualname__]


@cache
def source() -> str:
    """Hash of every file that decides a bill: the zoo, torchvision's networks, this room."""
    hashed = hashlib.sha256()
    for room in (ZOO_FOLDER, Path(torchvision.models.__file__).parent, Path(__file__).parent):
        for path in sorted(room.rglob("*.py")):
            hashed.update(path.name.encode() + path.read_bytes())
    return hashed.hexdigest()
