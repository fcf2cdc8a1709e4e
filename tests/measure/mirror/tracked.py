"""Tracked runs to start, alone or under a server: the stand-in loop of tracked_run.py, or a real `harness train`."""

import json
import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from harness.measure.mirror.journal import journal_path
from harness.paths import ROOT
from tests import forked
from tests.measure.mirror.tracked_run import LOG_EVERY

PATIENCE_SECONDS = 300
"""Long, for a machine with much else to do; nothing that works takes so long."""

KEY = "5ec2e7" * 6 + "beef"  # 40 hex digits, the form of a real key


def options(folder: Path, **changes: Any) -> dict[str, Any]:
    """conf/tracking/wandb.yaml with the interpolations filled in."""
    config = yaml.safe_load((ROOT / "conf" / "tracking" / "wandb.yaml").read_text())
    config |= {"group": "digits-small", "run_name": "resnet18-seed0", "tags": ["a", "b"], "dir": str(folder)}
    return {**config, "system_metrics": False, **changes}


def environment(folder: Path, **extra: str) -> dict[str, str]:
    """The test's environment without any W&B setting of the person who runs it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return {**kept, "HOME": str(folder), "NETRC": str(folder / "netrc"), "PYTHONPATH": str(ROOT), **extra}


def track(folder: Path, first: int, last: int, ending: str, *, env: dict[str, str], **changes: Any) -> dict[str, Any]:
    """Run the stand-in loop and wait for its mirror to end."""
    trainer = subprocess.Popen(
        [sys.executable, "-m", "tests.measure.mirror.tracked_run", str(folder), str(first), str(last), ending,
         json.dumps(options(folder, **changes))],
        cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert trainer.stdout is not None
    line = trainer.stdout.readline()
    report: dict[str, Any] = json.loads(line) if line else {}
    _, errors = trainer.communicate(timeout=PATIENCE_SECONDS)
    assert report, errors
    wait_for_end(report["mirror"])
    return {**report, "said": errors, "returncode": trainer.returncode}


def wait_for_end(pid: int | None) -> None:
    """Block until a process that is not our child has ended."""
    if pid is None:
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert select.select([descriptor], [], [], PATIENCE_SECONDS)[0], "the mirror did not end"
    os.close(descriptor)


def expected_steps(last: int) -> list[int]:
    """Images seen at every logged step, each once."""
    return [step * 10 for step in range(1, last + 1) if step % LOG_EVERY == 0]


def train(folder: Path, *overrides: str, env: dict[str, str]) -> Path:
    """A real two-epoch run on generated images; returns its run folder."""
    command = [
        "train",
        "data=fake",
        "model=squeezenet1_1",
        "data.images_per_class=20",
        "budget.epochs=2",
        "target=none",
        "log_every_steps=2",
    ]
    command += ["data.resolution=32", "threads=1", "device=cpu", f"out={folder / 'runs'}", *overrides]
    done = forked.run(["-m", "harness", *command], env=env, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr
    (found,) = (folder / "runs").rglob("run.json")
    return found.parent


def until_its_mirror_ends(folder: Path, run_id: str) -> None:
    """Wait for the mirror of a run that has ended, in tracking.dir=FOLDER: the process that was given its journal."""
    journal = os.fsencode(journal_path(folder, run_id))
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = b""
        with suppress(OSError):  # a process that has ended meanwhile
            words = path.read_bytes()
        if journal in words.split(b"\0"):
            wait_for_end(int(path.parent.name))
