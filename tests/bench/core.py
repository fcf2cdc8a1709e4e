"""How every row is measured: a process of its own, pinned, the methods interleaved, medians of several rounds."""

import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from harness.measure.machine.device import tune_malloc
from harness.record.curve import TIMING_FIELDS
from harness.record.provenance import cpu_model, source_commit, utc_now

RESULTS = Path("results/throughput")
PEERS = (
    *("torch", "torchvision", "torchcodec", "pillow", "numpy", "fvcore"),
    *("timm", "accelerate", "lightning", "nvidia-dali-cuda130", "ffcv", "simplejpeg"),
)


@dataclass(frozen=True)
class Sample:
    """One round of one row: work done in a stretch of wall time, and the CPU time of the process in it."""

    amount: float
    wall_seconds: float
    cpu_seconds: float


@dataclass
class Row:
    """A method. `work` does its warm-up, then returns a Sample; it runs in a child with `cores` and that malloc."""

    name: str
    work: Callable[[], Sample]
    cores: int = 1
    tuned_malloc: bool = False
    rates: list[float] = field(default_factory=list)
    failure: str = ""


def clocked(work: Callable[[], float]) -> Sample:
    """Times one call; `work` returns how much was done."""
    wall, cpu = time.perf_counter(), time.process_time()
    amount = work()
    return Sample(amount, time.perf_counter() - wall, time.process_time() - cpu)


def measure(rows: list[Row], rounds: int) -> None:
    """Fills `rates`: amount per CPU-second on one core (the machine may be shared), per wall second on more."""
    for turn in range(rounds):
        for row in rows:
            if row.failure:
                continue
            sample = _in_child(row)
            if isinstance(sample, str):
                row.failure = sample
            else:
                row.rates.append(sample.amount / (sample.cpu_seconds if row.cores == 1 else sample.wall_seconds))
        print(f"round {turn + 1} of {rounds} done", file=sys.stderr)


def _in_child(row: Row) -> Sample | str:
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_child, args=(row, sender))
    child.start()
    sender.close()
    try:
        found: Sample | str = receiver.recv()
    except EOFError:
        found = "the process died"
    child.join()
    return found


def _child(row: Row, sender: Connection) -> None:
    cores = sorted(os.sched_getaffinity(0))[-row.cores :]
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(1)
    if row.tuned_malloc:
        tune_malloc()
    try:
        sender.send(row.work())
    except Exception as error:  # noqa: BLE001  (a peer that fails is a row that says so)
        traceback.print_exc()
        sender.send(f"{type(error).__name__}: {str(error).splitlines()[0]}")
    finally:
        sender.close()


def median(row: Row) -> float | None:
    """Median rate, None where it failed."""
    return statistics.median(row.rates) if row.rates else None


def table(title: str, rows: list[Row], reference: str, unit: str) -> list[dict[str, Any]]:
    """Prints the rows beside their ratio to the reference row; returns them as plain data."""
    base = median(next(row for row in rows if row.name == reference))
    width = max(len(row.name) for row in rows)
    print(f"\n{title}\n{'':{width}}  {unit:>12}   ratio   spread")
    out = []
    for row in rows:
        rate = median(row)
        entry: dict[str, Any] = {"name": row.name, "cores": row.cores, "tuned_malloc": row.tuned_malloc}
        if rate is None:
            print(f"{row.name:{width}}  {'-':>12}   {row.failure}")
            out.append({**entry, "failure": row.failure})
            continue
        ratio = rate / base if base else float("nan")
        low, high = min(row.rates), max(row.rates)
        print(f"{row.name:{width}}  {rate:12,.1f}  {ratio:6.2f}   {low:,.1f} to {high:,.1f}")
        out.append({**entry, "median": rate, "ratio": ratio, "rounds": row.rates})
    return out


def without_clocks(curve: Path) -> str:
    """A run's curve less what differs between two runs of one seed."""
    lines = [json.loads(line) for line in curve.read_text(encoding="utf-8").splitlines()]
    return json.dumps([{key: value for key, value in line.items() if key not in TIMING_FIELDS} for line in lines])


def circumstances() -> dict[str, Any]:
    """Hardware, versions, commit, load: what a figure means nothing without."""
    versions = {}
    for name in PEERS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        **source_commit(),
        "utc": utc_now(),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "packages": versions,
    }


def write(name: str, document: dict[str, Any], folder: Path) -> None:
    """results/throughput/<name>.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nwritten: {path}")
