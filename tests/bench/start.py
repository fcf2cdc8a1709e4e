"""How long a user waits for a verb that does not train: the whole process, and its CPU time.

Beside them stand an interpreter that does nothing and one that imports torch. `aggregate` and `status` read RECORDS
synthetic records; `plan` forecasts the 48 runs of the published table, first with no network counted before, then with
all of them. On a shared machine read the CPU seconds.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.record.errors import EXIT_BAD_INPUT
from tests.bench import aggregate_bench

RECORDS = 60
PLAN = ["plan", "-m", "+experiment=remeasure", "data=imagenet", "target=none"]


def run(rounds: int) -> dict[str, Any]:
    """Medians over `rounds`, the commands in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        runs = Path(scratch) / "runs"
        aggregate_bench.make(runs, RECORDS)
        kept = Path(scratch) / "counted"
        harness = [sys.executable, "-m", "harness"]
        plan = ["env", f"HARNESS_CACHE={kept}", *harness, *PLAN]
        commands = {
            "python, nothing": [sys.executable, "-c", "pass"],
            "python, import torch": [sys.executable, "-c", "import torch"],
            "harness --help": [*harness, "--help"],
            "harness aggregate --help": [*harness, "aggregate", "--help"],
            f"harness status, {RECORDS} records": [*harness, "status", str(runs)],
            f"harness aggregate, {RECORDS} records": [*harness, "aggregate", str(runs), "--out", f"{scratch}/out"],
            "harness plan, 48 runs, nothing counted": plan,
            "harness plan, 48 runs": plan,
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(rounds):
            shutil.rmtree(kept, ignore_errors=True)
            for name, command in commands.items():
                # ImageNet is not here: the plan says so after its forecast
                taken[name].append(seconds(command, EXIT_BAD_INPUT if command is plan else 0))
    rows = []
    for name, both in taken.items():
        wall, cpu = (statistics.median(times) for times in zip(*both, strict=True))
        rows.append({"command": name, "wall_seconds": round(wall, 3), "cpu_seconds": round(cpu, 3)})
        print(f"{name:<40} {wall:>8.3f} s {cpu:>8.3f} s of CPU")
    return {"commands": rows}


def seconds(command: list[str], code: int = 0) -> tuple[float, float]:
    """Wall and CPU seconds of a process and its children. Raises CalledProcessError where its exit code is another."""
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(command, capture_output=True)
    after, wall = os.times(), time.perf_counter() - start
    if done.returncode != code:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu
