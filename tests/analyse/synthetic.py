"""Records with a known truth, written through harness.record exactly as a measured run is."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from harness.analyse.evidence.runs.run import Run, run_of
from harness.record import curve
from harness.record.curve import Evaluation
from harness.record.folders import folder
from harness.record.protocol import PROTOCOL_VERSION, digest

TARGET = {"metric": "top1", "value": 0.5, "split": "validation", "evaluations_per_epoch": 1, "source": "synthetic"}
FINGERPRINT = hashlib.sha256(b"synthetic").hexdigest()
TRAIN_IMAGES, TOTAL = 1000, 1000
FIDELITY = {
    "era_operators": True, "batchnorm_before_2015": False, "changed_kernels": False, "ema_as_published": None,
    "dropout_as_published": None, "stochastic_depth_as_published": None, "note": "",
}  # fmt: skip


@dataclass
class Made:
    """One run to write. `accuracies`: top-1 fraction after each epoch; top-5 is half-way from there to 1."""

    model: str
    accuracies: list[float]
    published: str = "2012-06-01"
    seed: int = 0
    forward_macs: int = 1_000_000
    outcome: str = "reached"
    target: dict[str, Any] | None = field(default_factory=lambda: dict(TARGET))
    recipe: str = "small"
    planned_epochs: int = 30
    kind: str = "measured"
    fingerprint: str = FINGERPRINT
    subset: bool = False
    learning_rate: float = 0.1
    seconds_per_epoch: float = 10.0
    device_name: str = "test processor"
    cadence: int = 1
    title: str = ""
    world_size: int = 1
    declared: bool = False
    batchnorm_images: int | None = None  # None: as in a record that is older than the question

    @property
    def run_id(self) -> str:
        """Twelve hex digits over everything."""
        return digest(json.loads(json.dumps(self.__dict__)))[:12]


def evaluations(made: Made) -> list[Evaluation]:
    """The curve: one evaluation per entry of `accuracies`, `cadence` of them an epoch."""
    rows = []
    for number, accuracy in enumerate(made.accuracies, start=1):
        images = number * TRAIN_IMAGES // made.cadence
        top1 = round(accuracy * TOTAL)
        rows.append(
            Evaluation(
                step=number * 10,
                epoch=number / made.cadence,
                images=images,
                train_forward_macs=images * made.forward_macs,
                train_backward_macs=images * (2 * made.forward_macs - 1000),
                evaluation_macs=number * TOTAL * made.forward_macs,
                lost_macs=0,
                correct_top1=top1,
                correct_top5=(top1 + TOTAL) // 2,
                total=TOTAL,
                loss=1.0 / number,
                lr=made.learning_rate,
                train_seconds=number * made.seconds_per_epoch,
                eval_seconds=float(number),
                data_wait_seconds=0.0,
            )
        )
    return rows


def summary_of(made: Made, rows: list[Evaluation]) -> dict[str, Any]:
    """What run.json holds besides the seals."""
    last = rows[-1] if rows else None
    totals = {} if last is None else {n: getattr(last, n) for n in curve.FIELDS if n.endswith(("macs", "seconds"))}
    forward = made.forward_macs
    return {
        "protocol_version": PROTOCOL_VERSION, "kind": made.kind, "run_id": made.run_id, "model": made.model,
        "title": made.title or made.model.title(), "published": made.published,
        "fidelity": FIDELITY, "recipe": made.recipe,
        "seed": made.seed,
        "dataset": {"name": "synthetic", "fingerprint": made.fingerprint, "subset": made.subset,
                    "train_images": TRAIN_IMAGES, "evaluation_images": TOTAL, "classes": 10, "resolution": 64,
                    "notes": {}},
        "target": made.target, "planned_epochs": made.planned_epochs, "declared": made.declared,
        "evaluations_per_epoch": made.cadence, "batch_size": 32, "outcome": made.outcome,
        "bill": {"params": 10, "forward_macs": forward, "weight_gradient_macs": forward,
                 "input_gradient_macs": forward - 1000, "evaluation_macs": forward},
        "totals": {"step": last.step if last else 0, "images": last.images if last else 0} | totals,
        "diverged_at_step": None,
        **({"search": _search_of(made)} if made.kind == "search" else {}),
        "hardware": {"device": "cpu", "device_name": made.device_name, "world_size": made.world_size,
                     "precision": "fp32",
                     **({} if made.batchnorm_images is None else {"batchnorm_images": made.batchnorm_images}),
                     "memory_format": "channels_last", "compile": False, "threads": 1, "gpu_alone": True},
    }  # fmt: skip


def _search_of(made: Made) -> dict[str, Any]:
    """What a record says of its search; one with a target is of the bisection that there was before."""
    bisection = {"seeds": 3, "needed": 2}
    rule = {"level": dict(TARGET), "shortest": 1, "longest": 40, "seeds": 3, "runs": 30}
    return rule if made.target is None else bisection


def write_run(root: Path, made: Made) -> Path:
    """A sealed run folder below `root`; returns it."""
    path = root / made.model / made.run_id
    path.mkdir(parents=True)
    (path / folder.CONFIG).write_text(
        f"seed: {made.seed}\nevaluations_per_epoch: {made.cadence}\n"
        f"model:\n  name: {made.model}\nrecipe:\n  name: {made.recipe}\n"
        f"  lr: {made.learning_rate}\n  epochs: {made.planned_epochs}\ndata:\n  name: synthetic\n"
    )
    (path / folder.PROVENANCE).write_text(json.dumps({"segments": []}))
    rows = evaluations(made)
    (path / folder.CURVE).write_text("".join(row.as_line() for row in rows))
    folder.seal(path, summary_of(made, rows))
    return path


def trial(made: Made) -> Run:
    """The same run as the analysis sees it, without the disk."""
    rows = evaluations(made)
    return run_of(Path(made.run_id), summary_of(made, rows), rows, settings="")


def write_runs(root: Path, runs: Iterable[Made]) -> Path:
    """All of them; returns `root`."""
    for made in runs:
        write_run(root, made)
    return root


def curve_reaching(epochs: int, level: float = 0.5, after: int = 0) -> list[float]:
    """Accuracies that rise evenly and first reach `level` after `epochs` epochs; `after` further epochs follow."""
    below = [level * (0.2 + 0.78 * i / epochs) for i in range(epochs - 1)]
    return [*below, *[level + 0.01 * i for i in range(after + 1)]]


def day(months: float) -> str:
    """ISO date so many mean months after 2012-06-01."""
    return (date(2012, 6, 1) + timedelta(days=round(months * 365.25 / 12))).isoformat()


def ladder(halving_months: float = 16.0, steps: int = 5, seeds: int = 3, first_epochs: int = 20) -> list[Made]:
    """Architectures exactly on a line: AlexNet, then one halving after another by halved MACs at equal epochs."""
    return [
        Made(
            model="alexnet" if step == 0 else f"net{step}",
            published=day(step * halving_months),
            seed=seed,
            forward_macs=1_000_000 * 2 ** (steps - step),
            accuracies=curve_reaching(first_epochs),
        )
        for step in range(steps)
        for seed in range(seeds)
    ]
