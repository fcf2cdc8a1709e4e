"""Checkpoints: everything a run needs to go on as if it had never stopped, and how it goes on."""

import hashlib
import io
import pickle
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.measure.machine.distributed import World, agree, gather_objects, share_refusal
from harness.measure.training.state import Position, Training
from harness.record.errors import BadInput, HarnessError
from harness.record.files import write_atomic
from harness.record.folders.folder import CHECKPOINT
from harness.record.ledger import Ledger


def save(training: Training) -> None:
    """Write the checkpoint and the state that `harness status` shows; every rank calls it, rank 0 writes.

    The learning rate and the data order are functions of the position, so there is no schedule and no sampler to keep.
    Raises RunLocked where another process has taken the run over, HarnessError where the disk fails.
    """
    generators = gather_objects(random_states(training.machine.device), training.world)
    if training.writer is None:
        return
    state: dict[str, Any] = {
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "scaler": training.scaler.state_dict(),
        "average": None if training.average is None else training.average.state_dict(),
        "random": generators,
        "position": asdict(training.position),
        "fingerprint": training.data.fingerprint,
    }
    training.writer.verify()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(training.writer.folder / CHECKPOINT, buffer.getvalue())
    training.writer.state("running", **facts(training))


def restore(training: Training, state: dict[str, Any] | None) -> None:
    """Go on from a checkpoint, if there is one; what was done after it is billed as lost.

    Raises BadInput where it was made on other data or fits this network no more.
    """
    if state is not None:
        _apply(state, training)
    if training.writer is not None:
        training.writer.cut_back(training.position.step)
        training.curve = training.writer.rows()
        ledger = training.position.ledger
        ledger.lost_macs += max(0, training.writer.noted_macs() - ledger.done_macs - ledger.lost_macs)
        training.writer.state("running", **facts(training))
    training.curve = gather_objects(training.curve, training.world)[0]
    if state is not None:
        training.display.say(f"resumed at step {training.position.step}")


def load(folder: Path, world: World) -> dict[str, Any] | None:
    """The checkpoint in a run folder, the same on every rank, or None where there is none. Runs no code of it.

    Raises HarnessError where a rank cannot read it, BadInput where the ranks see different ones.
    """
    path = folder / CHECKPOINT
    state: dict[str, Any] | None = None
    refusal, mark = None, "none"
    if path.exists():
        content = path.read_bytes()
        try:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            mark = f"step {state['position']['step']}, sha256 {hashlib.sha256(content).hexdigest()[:12]}"
        except (RuntimeError, ValueError, KeyError, TypeError, EOFError, OSError, pickle.UnpicklingError) as error:
            refusal = HarnessError(f"{path}: unreadable checkpoint ({error}); remove it to start the run again")
    share_refusal(refusal, world)
    agree({"checkpoint": mark}, world)
    return state


def facts(training: Training) -> dict[str, Any]:
    """What state.json says of an unfinished run."""
    position, curve, target = training.position, training.curve, training.target
    return {
        "model": training.config.model.name,
        "seed": training.config.seed,
        "step": position.step,
        "epoch": position.step / training.steps_per_epoch,
        "planned_epochs": training.config.budget.epochs,
        "top1": curve[-1].correct_top1 / curve[-1].total if curve else None,
        "metric": "top1" if target is None else target.metric,
        "target": None if target is None else target.value,
        "train_forward_macs": position.ledger.train_forward_macs,
        "images": position.images,
        "train_seconds": position.train_seconds,
        "eval_seconds": position.eval_seconds,
        "error": None,
    }


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


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """As load_state_dict, but the kernels stay those that this machine was asked for: such a state names its own."""
    names = ("fused", "foreach", "capturable")
    groups = [
        {**saved, **{name: group[name] for name in names if name in group}}
        for saved, group in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})


def _apply(state: dict[str, Any], training: Training) -> None:
    if state["fingerprint"] != training.data.fingerprint:
        raise BadInput(
            f"{training.folder}: begun on other data; restore that data set, or remove the folder to start anew"
        )
    try:
        training.model.load_state_dict(state["model"])
        _load_optimizer(training.optimizer, state["optimizer"])
        training.scaler.load_state_dict(state["scaler"])
        if training.average is not None:
            training.average.load_state_dict(state["average"])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        first = next((line.strip() for line in str(error).splitlines()[1:] if line.strip()), str(error))
        raise BadInput(
            f"{training.folder}: its checkpoint does not fit this network any more ({first[:160]}); "
            "restore the code it was begun with, or remove the folder to start anew"
        ) from error
    position = dict(state["position"])
    training.position = Position(**{**position, "ledger": Ledger(**position["ledger"])})
    if training.world.rank < len(state["random"]):  # with more processes than before, the new ones draw afresh
        restore_random_states(state["random"][training.world.rank], training.machine.device)
