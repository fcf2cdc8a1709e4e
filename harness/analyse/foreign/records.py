"""Checked curves become records marked `imported`, all of them or none.

What a curve does not tell is filled by rule, and the record says so: see RULES.
"""

import json
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from harness.analyse.foreign.curve import ForeignCurve
from harness.analyse.foreign.macs import forward_macs_of
from harness.analyse.foreign.reader import Origin, Read
from harness.record.checked import path_name
from harness.record.curve import Evaluation
from harness.record.errors import BadInput
from harness.record.fidelity import UNKNOWN
from harness.record.files import cannot_write, write_atomic
from harness.record.folders.folder import CONFIG, CURVE, PROVENANCE, is_finished, read_summary, seal
from harness.record.protocol import PROTOCOL_VERSION, digest

RULES = (
    "backward = 2 x forward; evaluation = split x forward; accuracies that are no whole image rounded down; loss, lr "
    "and clocks unknown, and absent"
)


def dataset_block(name: str, sizes: dict[str, int], like: Path | None) -> dict[str, Any]:
    """The data set that curves are said to be on; `like`: a measured run to take it from, fingerprint and all.

    sizes: train_images, evaluation_images, classes, resolution.

    Raises BadInput where a size is below 1.
    """
    if like is not None:
        measured: dict[str, Any] = read_summary(like)["dataset"]
        return measured  # its name was checked when the record was read
    block: dict[str, Any] = {"name": path_name(name, "--dataset"), **sizes}
    if wrong := [size for size in sizes if sizes[size] < 1]:
        raise BadInput(f"--{wrong[0].replace('_', '-')} is {sizes[wrong[0]]}: use 1 or more")
    claimed = digest({"imported": block})  # nobody has seen the images: the identity is the claim
    return {**block, "fingerprint": claimed, "subset": False, "notes": {"imported": "identity as claimed"}}


def write_records(
    read: list[Read], out: Path, *, dataset: dict[str, Any], source: str, evaluations_per_epoch: int
) -> list[tuple[Path, int | None]]:
    """Write a record a curve; (folder, its evaluations, None where it was there already). Nothing is written half.

    Raises BadInput where nobody says where a run comes from, HarnessError where the folder cannot be written.
    """
    unnamed = [c for r in read for c in r.curves if not (c.source or source)]
    if unnamed:
        raise BadInput(f"{unnamed[0].where}: nobody says where run {unnamed[0].run} comes from; give --source")
    made = [
        (curve, summary_of(curve, dataset, evaluations_per_epoch), provenance_of(curve, r.source, source))
        for r in read
        for curve in r.curves
    ]
    written: list[tuple[Path, int | None]] = []
    for curve, summary, provenance in made:
        folder = out / dataset["name"] / summary["model"] / summary["run_id"]
        if is_finished(folder):
            written.append((folder, None))
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        write_atomic(folder / CONFIG, yaml.safe_dump(config_of(curve), sort_keys=False))
        write_atomic(folder / PROVENANCE, json.dumps(provenance, indent=1) + "\n")
        write_atomic(folder / CURVE, "".join(row.as_line() for row in evaluations(curve)))
        seal(folder, summary)
        written.append((folder, len(curve.looks)))
    return written


def config_of(curve: ForeignCurve) -> dict[str, Any]:
    """config.yaml: what `harness check` counts again, stage by stage."""
    return {
        "imported": True,
        "model": {"name": curve.model, "constructor": curve.constructor},
        "recipe": {"name": curve.recipe},
        "evaluated": curve.evaluated,
        "images_an_epoch": curve.images_an_epoch,
        "stages": [vars(stage) for stage in curve.stages],
    }


def provenance_of(curve: ForeignCurve, file: Origin, source: str) -> dict[str, Any]:
    """Where a curve comes from, with everything that the index says of it."""
    said = {"file": file.file, "sha256": file.sha256, "source": curve.source or source, "rules": RULES}
    return {"overrides": [], "segments": [], "imported_from": said | {"said": dict(curve.facts)}}


def evaluations(curve: ForeignCurve) -> list[Evaluation]:
    """The curve as a record has it."""
    looks = list(accumulate(look.total for look in curve.looks))
    rows = []
    for number, look in enumerate(curve.looks, start=1):
        forward = forward_macs_of(curve.stages, curve.images_an_epoch, look.images)
        rows.append(
            Evaluation(
                step=number,  # steps are not known; evaluations rise as they do
                epoch=look.epoch,
                images=look.images,
                train_forward_macs=forward,
                train_backward_macs=2 * forward,
                evaluation_macs=looks[number - 1] * curve.stages[-1].forward_macs,
                lost_macs=0,
                correct_top1=look.correct("top1"),
                correct_top5=look.counts["top5"],
                total=look.total,
                error_top1=look.errors["top1"],
                error_top5=look.errors["top5"],
            )
        )
    return rows


def summary_of(curve: ForeignCurve, dataset: dict[str, Any], evaluations_per_epoch: int) -> dict[str, Any]:
    """run.json without its seals."""
    rows = evaluations(curve)
    names = ("step", "images", "train_forward_macs", "train_backward_macs", "evaluation_macs", "lost_macs")
    bill = dict.fromkeys(("params", "weight_gradient_macs", "input_gradient_macs", "evaluation_macs"))
    identity = {"dataset": dataset["fingerprint"], "facts": dict(curve.facts), "curve": [r.as_line() for r in rows]}
    return {
        "protocol_version": PROTOCOL_VERSION,
        "kind": "imported",
        "run_id": digest(identity | {"run": curve.run, "config": config_of(curve)})[:12],
        "model": curve.model,
        "title": curve.title,
        "published": curve.published,
        "fidelity": {**UNKNOWN, "note": "imported"},
        "recipe": curve.recipe,
        "seed": curve.seed,
        "dataset": dataset,
        "target": None,
        "planned_epochs": curve.planned_epochs,
        "evaluations_per_epoch": evaluations_per_epoch,
        "batch_size": None,
        "outcome": "budget_exhausted",
        "diverged_at_step": None,
        "bill": {**bill, "forward_macs": curve.stages[-1].forward_macs},
        "totals": {name: getattr(rows[-1], name) for name in names},
        "hardware": {
            "device": "unknown",
            "device_name": "not measured here",
            "world_size": 1,
            "precision": "unknown",
            "memory_format": "unknown",
            "compile": False,
            "threads": None,
        },
    }
