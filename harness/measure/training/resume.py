"""What a checkpoint holds, and how a run goes on from it as if it had never stopped."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness.measure.machine.distributed import gather_objects
from harness.measure.training import checkpoint
from harness.record.errors import BadInput
from harness.record.folder import CHECKPOINT
from harness.record.ledger import Ledger

if TYPE_CHECKING:
    from harness.measure.training.loop import Training


def save(training: "Training") -> None:
    """Write the checkpoint and the state that `harness status` shows; every rank calls it, rank 0 writes.

    The learning rate and the data order are functions of the position, so there is no schedule and no sampler to keep.
    """
    random = gather_objects(checkpoint.random_states(training.machine.device), training.world)
    if training.writer is None:
        return
    state: dict[str, Any] = {
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "scaler": training.scaler.state_dict(),
        "average": None if training.average is None else training.average.state_dict(),
        "random": random,
        "position": asdict(training.position),
        "fingerprint": training.data.fingerprint,
    }
    training.writer.verify()
    checkpoint.save(training.writer.folder / CHECKPOINT, state)
    training.writer.state("running", **facts(training))


def restore(training: "Training") -> None:
    """Go on from the checkpoint, if there is one; what was done after it is billed as lost."""
    from harness.measure.training.loop import Position

    state = checkpoint.load(training.folder / CHECKPOINT)
    if state is not None:
        if state["fingerprint"] != training.data.fingerprint:
            raise BadInput(
                f"{training.folder}: begun on other data; restore that data set, or remove the folder to start anew"
            )
        training.model.load_state_dict(state["model"])
        training.optimizer.load_state_dict(state["optimizer"])
        training.scaler.load_state_dict(state["scaler"])
        if training.average is not None:
            training.average.load_state_dict(state["average"])
        position = dict(state["position"])
        training.position = Position(**{**position, "ledger": Ledger(**position["ledger"])})
        if training.world.rank < len(state["random"]):  # with more processes than before, the new ones draw afresh
            checkpoint.restore_random_states(state["random"][training.world.rank], training.machine.device)
    if training.writer is not None:
        training.writer.cut_back(training.position.step)
        ledger = training.position.ledger
        ledger.lost_macs += max(0, training.writer.journalled_macs() - ledger.done_macs - ledger.lost_macs)
        training.writer.state("running", **facts(training))
    if state is not None:
        training.display.say(f"resumed at step {training.position.step}")


def facts(training: "Training") -> dict[str, Any]:
    """What state.json says of an unfinished run."""
    position = training.position
    rows = [] if training.writer is None else training.writer.rows()
    return {
        "model": training.config.model.name,
        "seed": training.config.seed,
        "step": position.step,
        "epoch": position.step / training.steps_per_epoch,
        "planned_epochs": training.config.budget.epochs,
        "top1": rows[-1].correct_top1 / rows[-1].total if rows else None,
        "train_macs": position.ledger.train_macs,
        "error": None,
    }
