"""How long a user waits for a verb that needs no torch: the whole process, and its CPU time.

Beside them stands an interpreter that does nothing. `aggregate` and `status` read RECORDS synthetic records; on a
shared machine read the CPU seconds.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import aggregate_bench

RECORDS = 60


def run(rounds: int) -> dict[str, Any]:
    """Medians over `rounds`, the commands in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        runs = Path(scratch) / "runs"
        aggregate_bench.make(runs, RECORDS)
        harness = [sys.executable, "-m", "harness"]
        commands = {
            "python, nothing": [sys.executable, "-c", "pass"],
            "harness --help": [*harness, "--help"],
            "harness aggregate --help": [*harness, "aggregate", "--help"],
            f"harness status, {RECORDS} records": [*harness, "status", str(runs)],
            f"harness aggregate, {RECORDS} records": [*harness, "aggregate", str(runs), "--out", f"{scratch}/out"],
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                taken[name].append(seconds(command))
    rows = []
    for name, both in taken.items():
        wall, cpu = (statistics.median(times) for times in zip(*both, strict=True))
        rows.append({"command": name, "wall_seconds": round(wall, 3), "cpu_seconds": round(cpu, 3)})
        print(f"{name:<32} {wall:>8.3f} s {cpu:>8.3f} s of CPU")
    return {"commands": rows}


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a process and its children. Raises CalledProcessError where it fails."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after, wall = os.times(), time.perf_counter() - start
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu
