"""Checkpoints: everything a run needs to go on as if it had never stopped."""

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.record.errors import HarnessError
from harness.record.files import write_atomic


def random_states(device: torch.device) -> dict[str, Any]:
    """The state of every generator this process draws from."""
    name, keys, *rest = np.random.get_state()
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states: dict[str, Any], device: torch.device) -> None:
    """The inverse of `random_states`."""
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any] | None:
    """A checkpoint, or None where there is none; raises HarnessError where it cannot be read. Runs no code of it."""
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise HarnessError(f"{path}: unreadable checkpoint ({error}); remove it to start the run again") from error
    return state
