"""A stand-in for the training loop: tracks steps FIRST..LAST of a run, then ends as told.

Arguments: folder, first step, last step, ending (finish, interrupt, vanish, vanish_with_mirror), options as JSON.
Prints the mirror's process id and the seconds spent in the tracker's calls.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from harness.measure.mirror import journal as tracking
from harness.record.curve import Evaluation, append, keep_until
from harness.record.folders.folder import seal

BATCH, EVALUATE_EVERY, LOG_EVERY, RUN_ID = 10, 20, 5, "0123456789ab"


def evaluation(step: int) -> Evaluation:
    """The evaluation after `step` steps; a pure function of the step, as a deterministic run's is."""
    return Evaluation(
        step=step, epoch=step / 100, images=step * BATCH, train_forward_macs=step * 10**13,
        train_backward_macs=2 * step * 10**13, evaluation_macs=step * 10**11, lost_macs=0, correct_top1=step * 4,
        correct_top5=step * 5, total=1000, loss=1 / step, lr=0.1, train_seconds=step / 10, eval_seconds=step / 100,
        data_wait_seconds=0.0,
    )  # fmt: skip


def summary(last: int) -> dict[str, object]:
    """A run.json of that curve."""
    final = evaluation(last)
    return {
        "protocol_version": 1, "kind": "measured", "run_id": RUN_ID, "model": "resnet18", "title": "ResNet-18",
        "published": "2015-12-10", "fidelity": {}, "recipe": "small", "seed": 0, "dataset": {"name": "fake"},
        "target": {"metric": "top1", "value": 0.3, "split": "test", "evaluations_per_epoch": 5, "source": "a test"},
        "planned_epochs": 1, "evaluations_per_epoch": 5, "batch_size": BATCH, "outcome": "reached", "bill": {},
        "totals": {"step": last, "images": final.images, "train_forward_macs": final.train_forward_macs},
        "diverged_at_step": None, "hardware": {"device": "cpu"},
    }  # fmt: skip


def main() -> None:
    folder, first, last, ending = Path(sys.argv[1]) / "run", int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    folder.mkdir(exist_ok=True)
    for name in ("config.yaml", "provenance.json"):
        (folder / name).write_text("{}")
    keep_until(folder / "curve.jsonl", first - 1)
    spent = -time.perf_counter()
    tracker = tracking.start(
        json.loads(sys.argv[5]), run_id=RUN_ID, folder=folder, config={"model": {"name": "resnet18"}, "seed": 0},
        resume_images=(first - 1) * BATCH,
    )  # fmt: skip
    for step in range(first, last + 1):
        if step % LOG_EVERY == 0:
            tracker.log_step(step * BATCH, {"loss": 1 / step})
        if step % EVALUATE_EVERY == 0:
            append(folder / "curve.jsonl", evaluation(step))
            tracker.log(evaluation(step))
    if ending == "interrupt":
        tracker.interrupted()
    elif ending == "finish":
        seal(folder, summary(last))
        tracker.finish(summary(last), folder)
    spent += time.perf_counter()
    mirror, states = (tracker.mirror, tracker.states) if isinstance(tracker, tracking.JournalTracker) else (None, None)
    print(json.dumps({"mirror": mirror.pid if mirror else None, "tracker_seconds": spent}), flush=True)
    if ending == "vanish_with_mirror":
        assert mirror is not None
        assert states is not None
        told = b""
        while told.count(b"\n") < 2:  # "offline" once chosen, and again once its file is open
            told += os.read(states, 100)
        os.killpg(mirror.pid, signal.SIGKILL)
    if ending.startswith("vanish"):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
