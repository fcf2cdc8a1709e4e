"""Where a record comes from: an allow-list, filled by hand. Never the environment, host names, paths or keys."""

import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.paths import ROOT

PACKAGES = ("torch", "torchvision", "fvcore", "hydra-core", "wandb", "numpy", "torchcodec", "pillow")


def utc_now() -> str:
    """The time now, ISO 8601 in UTC to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def source_commit() -> dict[str, Any]:
    """Commit hash of this source tree and whether it has uncommitted changes; None where git cannot tell."""
    root = ROOT

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # Only tracked files count as changes, and not the records: measuring must not make the next measurement "dirty".
    changes = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if changes is None else bool(changes)}


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a result; those not installed are absent."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def cpu_model() -> str:
    """The processor's model name, or its architecture where the system does not tell."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def segment(*, device_name: str, world_size: int, threads: int) -> dict[str, Any]:
    """One uninterrupted stretch of a run: code, versions, hardware and its start. A resumed run has several."""
    return {
        **source_commit(),
        "python": platform.python_version(),
        "packages": package_versions(),
        "device_name": device_name,
        "cpu_model": cpu_model(),
        "world_size": world_size,
        "threads": threads,
        "started_utc": utc_now(),
    }
