"""Auditing records offline: schema, hashes, monotone ledger, target, protocol, and the MACs counted again."""

from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from harness.analyse.foreign.check import Recount, imported_defects
from harness.record.curve import WATCHED, Evaluation, monotone_defects
from harness.record.errors import BadInput, HarnessError
from harness.record.folders.folder import (
    CONFIG,
    CURVE,
    PROVENANCE,
    find_run_folders,
    is_finished,
    read_run,
    read_sealed,
    read_summary,
)
from harness.record.ledger import LEDGER_LINES
from harness.record.target import Target, all_confirmed, complete, crossing_of, unconfirmed

DATASET_KEYS = {
    "name",
    "fingerprint",
    "subset",
    "train_images",
    "evaluation_images",
    "classes",
    "resolution",
    "notes",
}
HARDWARE_KEYS = {"device", "device_name", "world_size", "precision", "memory_format", "compile", "threads"}
PROVENANCE_KEYS = {"overrides", "segments", "finished_utc", "imported_from"}
KINDS = ("measured", "calibration", "search", "imported")


@dataclass(frozen=True)
class Audit:
    """What was found below some paths: defects, one line each, and numbers of folders."""

    defects: list[str]
    finished: int
    unfinished: int
    recomputing: int  # sound records of networks with gradient checkpoints


def check_paths(paths: list[Path], recount: Recount | None, curves: Path | None = None) -> Audit:
    """Audit of every finished record below the paths.

    curves: a folder with the files that records were imported from, to be compared with their hashes.

    Raises BadInput where there is no record at all: an audit of nothing must not pass.
    """
    folders = sorted({folder for path in paths for folder in find_run_folders(path)})
    finished = [folder for folder in folders if is_finished(folder)]
    if not finished:
        raise BadInput(f"no finished record below {', '.join(map(str, paths))}: give a folder that holds runs")
    checked = {folder: check_record(folder, recount, curves) for folder in finished}
    sound = [folder for folder, defects in checked.items() if not defects]
    return Audit(
        defects=[f"{folder}: {defect}" for folder, defects in checked.items() for defect in defects],
        finished=len(finished),
        unfinished=len(folders) - len(finished),
        recomputing=sum("recomputed_macs" in read_summary(folder)["bill"] for folder in sound),
    )


def check_record(folder: Path, recount: Recount | None, curves: Path | None = None) -> list[str]:
    """What is wrong with one finished record; empty when it is sound."""
    try:
        run = read_run(folder)  # syntax, keys, protocol version and all hashes
        files = read_sealed(folder, run.summary)
        config = yaml.load(files[CONFIG], yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader)
        provenance = yaml.safe_load(files[PROVENANCE])
    except HarnessError as error:
        return [str(error).removeprefix(f"{folder}: ").removeprefix(f"{folder}/")]
    except yaml.YAMLError as error:
        return [f"{CONFIG} or {PROVENANCE}: not readable ({str(error).splitlines()[0]})"]
    try:
        summary = run.summary
        if defects := _schema(summary, config, provenance, folder):
            return defects
        defects += monotone_defects(run.curve)
        defects += _totals(summary, run.curve)
        defects += _target(summary, run.curve)
        if summary["kind"] == "imported" and not defects:
            defects += imported_defects(summary, config, provenance, run.curve, recount, curves)
        elif not defects:
            defects += _watched(run.curve)
            defects += _bill(summary, config, run.curve)
            defects += [] if recount is None else _recount(summary, config, recount)
    except (KeyError, TypeError, AttributeError) as error:
        return [f"lacks or misstates a field ({error!r})"]
    return defects


def _schema(s: dict[str, Any], config: Any, provenance: Any, folder: Path) -> list[str]:
    defects = []
    if s["kind"] not in KINDS:
        defects.append(f"kind {s['kind']!r} is none of {', '.join(KINDS)}")
    if s["run_id"] != folder.name:
        defects.append(f"run_id {s['run_id']} in a folder named {folder.name}")
    for name, expected in (("dataset", DATASET_KEYS), ("hardware", HARDWARE_KEYS)):
        if missing := expected - s[name].keys():
            defects.append(f"{name} lacks {', '.join(sorted(missing))}")
    if not isinstance(config, dict):
        defects.append(f"{CONFIG} is not a mapping")
    elif s["kind"] != "imported":
        told = {"seed": s["seed"], "evaluations_per_epoch": s["evaluations_per_epoch"]}
        defects += [f"{CONFIG} says {k} {config.get(k)}, run.json {v}" for k, v in told.items() if config.get(k) != v]
        for block, name in (("model", "model"), ("recipe", "recipe")):
            if config[block]["name"] != s[name]:
                defects.append(f"{CONFIG} says {block} {config[block]['name']}, run.json {s[name]}")
    if unknown := set(provenance) - PROVENANCE_KEYS:
        defects.append(f"{PROVENANCE} holds {', '.join(sorted(unknown))}, which is not on the allow-list")
    return defects


def _totals(s: dict[str, Any], curve: list[Evaluation]) -> list[str]:
    """run.json's totals are the last line of the curve, or beyond it where the run broke off between evaluations."""
    defects = []
    broke_off = s["outcome"] in ("diverged", "out_of_memory", "interrupted")
    if not curve:
        return [] if broke_off else [f"outcome {s['outcome']} without an evaluation"]
    for name in ("step", "images", *LEDGER_LINES):
        total, last = s["totals"][name], getattr(curve[-1], name)
        if total < last or (total > last and not broke_off):
            defects.append(f"totals.{name} is {total}, {CURVE} ends at {last}")
    images = s["dataset"]["evaluation_images"]
    wrong = [n for n, row in enumerate(curve, start=1) if row.total != images]
    if wrong:
        defects.append(f"evaluation {wrong[0]}: {curve[wrong[0] - 1].total} images judged, the split has {images}")
    return defects


def _target(s: dict[str, Any], curve: list[Evaluation]) -> list[str]:
    """The outcome is what the curve and the target say it is."""
    if s["target"] is None:
        return ["outcome reached without a target"] if s["outcome"] == "reached" else []
    target = Target.from_dict(s["target"])
    defects = []
    if target.evaluations_per_epoch != s["evaluations_per_epoch"]:
        defects.append(f"evaluations_per_epoch {s['evaluations_per_epoch']}, target {target.evaluations_per_epoch}")
    if (s["outcome"] == "reached") != all_confirmed(curve, target):
        at = crossing_of(curve, target.metric, target.value, target.confirm)
        first = "never" if at is None else f"first at evaluation {at + 1}"
        defects.append(f"outcome {s['outcome']}, but the curve is at {target.metric} {target.value:g} {first}")
    elif complete(curve[:-1], target):
        defects.append(f"the target was reached before evaluation {len(curve)}, the last: the run went on")
    if s["protocol_version"] > 1 and s.get("unconfirmed", []) != unconfirmed(curve, target):
        defects.append(f"unconfirmed {s.get('unconfirmed')}, but by the curve it is {unconfirmed(curve, target)}")
    return defects


def _watched(curve: list[Evaluation]) -> list[str]:
    """A run of our own always knows its loss, its rate and its clocks."""
    missing = [number for number, row in enumerate(curve, start=1) if row.loss is None]
    return [f"evaluation {missing[0]} lacks {', '.join(WATCHED)}"] if missing else []


def _bill(s: dict[str, Any], config: dict[str, Any], curve: list[Evaluation]) -> list[str]:
    """With one resolution and nothing frozen, every line of the ledger is images x MACs per image, exactly."""
    bill, recipe = s["bill"], config["recipe"]
    looks = list(accumulate(row.looks for row in curve))
    evaluated = [("evaluation_macs", "evaluation_macs", lambda n, row: looks[n - 1] * row.total)]
    trained = [
        ("train_forward_macs", "forward_macs", lambda n, row: row.images),
        ("train_backward_macs", None, lambda n, row: row.images),
    ]
    constant = not recipe.get("resolution_schedule") and not recipe.get("frozen")
    for number, row in enumerate(curve, start=1):
        for line, per_image, images in [*(trained if constant else []), *evaluated]:
            macs = bill[per_image] if per_image else bill["weight_gradient_macs"] + bill["input_gradient_macs"]
            if (billed := getattr(row, line)) != (expected := images(number, row) * macs):
                return [f"evaluation {number}: {line} {billed}, but images x MACs per image is {expected}"]
    return []


def _recount(s: dict[str, Any], config: dict[str, Any], recount: Recount) -> list[str]:
    try:
        again = recount(config, s)
    except HarnessError as error:
        return [f"cannot be counted again: {error}"]
    said = {"recomputed_macs": 0, **s["bill"]}  # a record without that line has no gradient checkpoint
    return [f"bill.{name} is {said[name]}, counted again {v}" for name, v in again.items() if said[name] != v]
