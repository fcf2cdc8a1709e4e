"""Foreign learning curves (a CSV) become records marked `imported`.

Columns: run, model, published (YYYY-MM-DD), epoch or images (both cumulative), top1 and top5 (fractions of the
evaluation split), forward_macs (per image). Optional: title, seed, recipe, planned_epochs. One line an evaluation, in
order. Both accuracies are needed: a record counts correct images, and a missing count is not 0.

What a curve does not tell is filled by rule, and the record says so: backward = 2 x forward (the published study's
count, a little above the exact one), an evaluation = the split x forward_macs, no loss, no learning rate, no clock.
"""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from harness.record.checked import path_name, published_date, seed_number
from harness.record.curve import Evaluation
from harness.record.errors import BadInput
from harness.record.files import cannot_write, sha256_of, write_atomic
from harness.record.folder import CONFIG, CURVE, PROVENANCE, is_finished, read_summary, seal
from harness.record.protocol import PROTOCOL_VERSION, digest

REQUIRED = ("run", "model", "published", "top1", "top5", "forward_macs")
RULES = "backward = 2 x forward; evaluation = split x forward; loss, lr and clocks unknown, written 0"

LEAST_MACS = 10**6
"""MACs an image under which a figure is in another unit: GMAC or MMAC."""


def import_curves(
    csv_file: Path, out: Path, *, source: str, dataset: dict[str, Any], evaluations_per_epoch: int
) -> Iterator[tuple[Path, int | None]]:
    """Write one record a run of the CSV: its folder and the number of its evaluations, None where it was there already.

    Raises BadInput where a line is unusable; nothing is written then.
    """
    runs = read_csv(csv_file)
    made = [summary_and_curve(name, rows, dataset, evaluations_per_epoch, csv_file) for name, rows in runs.items()]
    provenance = {
        "overrides": [],
        "segments": [],
        "imported_from": {"file": csv_file.name, "sha256": sha256_of(csv_file), "source": source, "rules": RULES},
    }
    for summary, curve in made:
        folder = out / dataset["name"] / summary["model"] / summary["run_id"]
        if is_finished(folder):
            yield folder, None
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        config = {"imported": True, "model": {"name": summary["model"]}, "recipe": {"name": summary["recipe"]}}
        write_atomic(folder / CONFIG, yaml.safe_dump(config, sort_keys=False))
        write_atomic(folder / PROVENANCE, json.dumps(provenance, indent=1) + "\n")
        write_atomic(folder / CURVE, "".join(row.as_line() for row in curve))
        seal(folder, summary)
        yield folder, len(curve)


def dataset_block(name: str, sizes: dict[str, int], like: Path | None) -> dict[str, Any]:
    """The data set that the curves are said to be on; `like`, a measured run, gives its own, fingerprint and all.

    sizes: train_images, evaluation_images, classes, resolution (pixels).
    """
    if like is not None:
        found: dict[str, Any] = read_summary(like)["dataset"]
        return found  # its name was checked when the record was read
    block: dict[str, Any] = {"name": path_name(name, "--dataset"), **sizes}
    if wrong := [size for size in sizes if block[size] < 1]:
        raise BadInput(f"--{wrong[0].replace('_', '-')} is {block[wrong[0]]}: use 1 or more")
    claimed = digest({"imported": block})  # nobody has seen the images: the identity is the claim
    return {**block, "fingerprint": claimed, "subset": False, "notes": {"imported": "identity as claimed"}}


def read_csv(path: Path) -> dict[str, list[dict[str, str]]]:
    """Lines by run, in the order of the file; raises BadInput naming the line and the remedy."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            _check_header(path, header)
            runs: dict[str, list[dict[str, str]]] = {}
            for line in reader:
                where = f"{path}: line {reader.line_num}"
                if None in line:
                    raise BadInput(f"{where}: more fields than the header names; quote a value that holds a comma")
                if None in line.values():
                    raise BadInput(f"{where}: fewer fields than the header names; leave what is unknown empty, as a,,b")
                line["line"] = where
                runs.setdefault(line.get("run") or "", []).append(line)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: not a readable CSV ({error})") from error
    if not runs or "" in runs:
        raise BadInput(f"{path}: {'a line without a run' if runs else 'no line in it'}")
    return runs


def _check_header(path: Path, header: Sequence[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    if missing or not {"epoch", "images"} & set(header):
        raise BadInput(f"{path}: lacks {', '.join(missing) or 'epoch or images'}; see `harness import-curves --help`")


def summary_and_curve(
    name: str, lines: list[dict[str, str]], dataset: dict[str, Any], cadence: int, path: Path
) -> tuple[dict[str, Any], list[Evaluation]]:
    """run.json (without its seals) and the curve of one foreign run."""
    first = lines[0]
    for column in ("model", "published", "forward_macs", "title", "seed", "recipe", "planned_epochs"):
        if len({line.get(column) for line in lines}) > 1:
            raise BadInput(f"{path}: run {name} has more than one {column}")
    forward_macs = round(_number(first, "forward_macs"))
    if forward_macs < LEAST_MACS:
        raise BadInput(
            f"{first['line']}: forward_macs is {first['forward_macs']}; give MACs per image, as 714188480 (not GMAC or "
            "MMAC: no network for images has under a million)"
        )
    model = path_name(first["model"], f"{first['line']}: model")
    published_date(first["published"], f"{first['line']}: published")
    curve = [_evaluation(n, line, dataset, forward_macs) for n, line in enumerate(lines, start=1)]
    for line, (a, b) in zip(lines[1:], pairwise(curve), strict=True):
        if b.images <= a.images:
            raise BadInput(f"{line['line']}: epoch or images does not rise within run {name}")
    last = curve[-1]
    identity = {"run": name, "lines": [{k: v for k, v in line.items() if k != "line"} for line in lines]}
    totals = {k: getattr(last, k) for k in ("step", "images", "train_forward_macs", "train_backward_macs")}
    totals |= {k: getattr(last, k) for k in ("evaluation_macs", "lost_macs")}
    planned = round(_number(first, "planned_epochs")) if first.get("planned_epochs") else math.ceil(last.epoch)
    bill = dict.fromkeys(("params", "weight_gradient_macs", "input_gradient_macs", "evaluation_macs"))
    flags = ("era_operators", "batchnorm_before_2015", "changed_kernels", "ema_as_published", "dropout_as_published")
    return {
        "protocol_version": PROTOCOL_VERSION,
        "kind": "imported",
        "run_id": digest({"dataset": dataset["fingerprint"], **identity})[:12],
        "model": model,
        "title": first.get("title") or first["model"],
        "published": first["published"],
        "fidelity": {**dict.fromkeys((*flags, "stochastic_depth_as_published")), "note": "imported"},
        "recipe": first.get("recipe") or "foreign",
        "seed": _seed(first) if first.get("seed") else 0,
        "dataset": dataset,
        "target": None,
        "planned_epochs": planned,
        "evaluations_per_epoch": cadence,
        "batch_size": None,
        "outcome": "budget_exhausted",
        "diverged_at_step": None,
        "bill": {**bill, "forward_macs": forward_macs},
        "totals": totals,
        "hardware": {"device": "unknown", "device_name": "not measured here", "world_size": 1, "precision": "unknown",
                     "memory_format": "unknown", "compile": False, "threads": None},
    }, curve  # fmt: skip


def _evaluation(number: int, line: dict[str, str], dataset: dict[str, Any], forward_macs: int) -> Evaluation:
    train_images, total = dataset["train_images"], dataset["evaluation_images"]
    images = round(_number(line, "images")) if line.get("images") else round(_number(line, "epoch") * train_images)
    accuracy = {name: _number(line, name) for name in ("top1", "top5")}
    for name, value in accuracy.items():
        if not 0 <= value <= 1:
            hint = f"; did you mean {value / 100:g}?" if 1 < value <= 100 else ""
            raise BadInput(f"{line['line']}: {name} is {value:g}, but it is a fraction from 0 to 1{hint}")
    if accuracy["top1"] > accuracy["top5"]:
        raise BadInput(f"{line['line']}: top1 is above top5")
    return Evaluation(
        step=number,  # steps are not known; evaluations rise as they do
        epoch=images / train_images,
        images=images,
        train_forward_macs=images * forward_macs,
        train_backward_macs=2 * images * forward_macs,
        evaluation_macs=number * total * forward_macs,
        lost_macs=0,
        correct_top1=round(accuracy["top1"] * total),
        correct_top5=round(accuracy["top5"] * total),
        total=total,
        loss=0.0,
        lr=0.0,
        train_seconds=0.0,
        eval_seconds=0.0,
        data_wait_seconds=0.0,
    )


def _seed(line: dict[str, str]) -> int:
    """A seed is read as an integer: a float would round two large ones into one."""
    try:
        value = int(line["seed"])
    except ValueError as error:
        raise BadInput(f"{line['line']}: seed is {line['seed']!r}, not a whole number") from error
    return seed_number(value, f"{line['line']}: seed")


def _number(line: dict[str, str], name: str) -> float:
    try:
        value = float(line[name])
    except (TypeError, ValueError, KeyError) as error:
        raise BadInput(f"{line['line']}: {name} is {line.get(name)!r}, not a number") from error
    if not math.isfinite(value) or value < 0:
        raise BadInput(f"{line['line']}: {name} is {line[name]}")
    return value
