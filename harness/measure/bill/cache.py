"""What was counted of a network of the zoo before, kept in the user's cache under everything it depends on.

Only for answers in seconds (`harness plan`, `harness count`): what a run is billed by, and what `harness check` counts
again, is always counted. An entry that is damaged, or that anything else was counted for, is counted again.
"""

import gc
import hashlib
import json
import multiprocessing
import os
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import harness.models
from harness.measure.bill.count import Bill, bill
from harness.measure.machine.importing import uncollected
from harness.measure.machine.worker import enter_worker
from harness.models import ZOO, without_weights
from harness.models import build as build_network
from harness.record.errors import HarnessError
from harness.record.files import write_atomic
from harness.record.protocol import digest

ZOO_FOLDER = Path(harness.models.__file__).parent
_PACKAGES = ("torch", "torchvision", "fvcore")
AT_ONCE = 8
"""Networks counted at once, at most: a login node is shared."""


def bill_of(name: str, *, kwargs: Mapping[str, Any], classes: int, resolution: int, fresh: bool = False) -> Bill:
    """The bill of a network of the zoo, from the cache where it is there and whole; `fresh` counts it again.

    Raises as `bill` does.
    """
    under = _under(name, kwargs, classes, resolution)
    if not fresh and (entry := _read(under)) is not None:
        return Bill(**entry)
    network = without_weights(partial(build_network, name, classes=classes, **kwargs))
    counted = bill(network, resolution=resolution)
    if under is not None:
        _write(under, asdict(counted))
    return counted


def count_at_once(networks: Iterable[Mapping[str, Any]]) -> None:
    """Count those that were not counted before, one a core at a time, so that `bill_of` finds them.

    networks: arguments of `bill_of`. What fails is met by who asks for it next.
    """
    left = list({str(network): network for network in networks if _is_to_count(**network)}.values())
    workers = min(len(left), len(os.sched_getaffinity(0)), AT_ONCE)
    if workers < 2:
        return
    with uncollected():
        import torchvision.models  # noqa: F401  (once, and not in each process)
    fork = multiprocessing.get_context("fork")
    started = []
    try:
        with suppress(OSError):  # no process can be started: its share is counted by who asks for it
            for number in range(workers):
                process = fork.Process(target=_count, args=(left[number::workers], os.getpid()), daemon=True)
                process.start()
                started.append(process)
        for process in started:
            process.join()
    finally:
        for process in started:
            process.kill()  # after a Ctrl-C: what is half counted is counted again


def _is_to_count(name: str, *, kwargs: Mapping[str, Any], classes: int, resolution: int) -> bool:
    """Whether `bill_of` would count this network, and keep what it counts."""
    under = _under(name, kwargs, classes, resolution)
    return under is not None and _read(under) is None


def _count(networks: Iterable[Mapping[str, Any]], parent: int) -> None:
    enter_worker(parent)
    gc.freeze()  # what was imported is no garbage
    for network in networks:
        with suppress(Exception):
            bill_of(**network)


def folder() -> Path:
    """Where the entries lie: $HARNESS_CACHE, else the user's cache."""
    if own := os.environ.get("HARNESS_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ai-and-efficiency" / "counted"


def _under(name: str, kwargs: Mapping[str, Any], classes: int, resolution: int) -> dict[str, Any] | None:
    """Everything that a bill depends on; None for a network that a test or a notebook put into the zoo."""
    constructor = _constructor(name)  # the zoo may have another network under this name by now
    if not constructor[0].startswith(harness.models.__name__):
        return None
    return {
        "name": name,
        "constructor": constructor,
        "kwargs": dict(kwargs),
        "classes": classes,
        "resolution": resolution,
        "python": platform.python_version(),
        "source": source(),
        **{package: version(package) for package in _PACKAGES},
    }


def _path(under: Mapping[str, Any]) -> Path:
    return folder() / f"{digest(under)}.json"


def _read(under: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if under is None:
        return None
    try:
        entry = json.loads(_path(under).read_bytes())
        whole = entry["under"] == under and entry["seal"] == digest([entry["under"], entry["counted"]])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return dict(entry["counted"]) if whole else None


def _write(under: Mapping[str, Any], counted: Mapping[str, Any]) -> None:
    with suppress(OSError, HarnessError):  # a cache that cannot be written to is none
        folder().mkdir(parents=True, exist_ok=True)
        write_atomic(_path(under), json.dumps({"under": under, "counted": counted, "seal": digest([under, counted])}))


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
    for room in (ZOO_FOLDER, _torchvision_models(), Path(__file__).parent):
        for path in sorted(room.rglob("*.py")):
            hashed.update(path.name.encode() + path.read_bytes())
    return hashed.hexdigest()


def _torchvision_models() -> Path:
    """The folder of torchvision's networks; importing them takes nearly as long as importing torch."""
    spec = find_spec("torchvision")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "models"
