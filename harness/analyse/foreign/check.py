"""Auditing a record that was imported: its source is named, its ledger follows its stages, its MACs are the bill's."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.analyse.foreign.macs import ALIKE, Stage, forward_macs_of
from harness.record.curve import Evaluation
from harness.record.errors import HarnessError
from harness.record.files import sha256_of
from harness.record.folders.folder import CONFIG, PROVENANCE

Recount = Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, int | None]]
"""(config, summary) -> the bill per image, counted again; from the room that has torch."""


def imported_defects(
    s: dict[str, Any],
    config: dict[str, Any],
    provenance: dict[str, Any],
    curve: list[Evaluation],
    recount: Recount | None,
    curves: Path | None = None,
) -> list[str]:
    """One line a defect. curves: a folder with the source files, if they are at hand.

    A record of an older harness has no stages; its source is looked at all the same."""
    defects = _source(provenance, curves)
    if "stages" not in config:
        return defects
    stages, per_epoch = [Stage(**stage) for stage in config["stages"]], config["images_an_epoch"]
    for number, row in enumerate(curve, start=1):
        expected = forward_macs_of(stages, per_epoch, row.images)
        if row.train_forward_macs != expected:
            return [
                *defects,
                f"evaluation {number}: train_forward_macs {row.train_forward_macs}, by its stages {expected}",
            ]
    return defects + ([] if recount is None else _recount(s, config, recount))


def _source(provenance: dict[str, Any], curves: Path | None) -> list[str]:
    said = provenance.get("imported_from")
    if not isinstance(said, dict):
        return [f"{PROVENANCE} does not say where the curve was imported from"]
    defects = [f"{PROVENANCE}: imported_from names no {name}" for name in ("file", "source") if not said.get(name)]
    if not re.fullmatch("[0-9a-f]{64}", str(said.get("sha256"))):
        defects.append(f"{PROVENANCE}: imported_from.sha256 is no sha256 of the file that was read")
    elif curves is not None and not defects:
        path = curves / Path(said["file"]).name
        if not path.is_file():
            defects.append(f"{path} is missing, from which it was imported")
        elif sha256_of(path) != said["sha256"]:
            defects.append(f"{path} is not the file it was imported from: another sha256")
    return defects


def _recount(s: dict[str, Any], config: dict[str, Any], recount: Recount) -> list[str]:
    """Every stage's MACs counted again, where its network can be constructed here."""
    defects = []
    for stage in config["stages"]:
        one = {"constructor": config["model"]["constructor"], "resolution": stage["resolution"]}
        try:
            again = recount({"imported": True, **one}, s)
        except HarnessError as error:
            return [f"{CONFIG}: cannot be counted again: {error}"]
        counted = again.get("forward_macs")
        if counted is None:
            continue  # nothing here constructs that network
        if abs(stage["forward_macs"] / counted - 1) > (0 if stage["counted"] else ALIKE):
            defects.append(
                f"{CONFIG}: {stage['forward_macs']} MACs at {stage['resolution']} px, counted again {counted}"
            )
    return defects
