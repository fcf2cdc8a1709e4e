"""The bill of a record, counted again from its config: for `harness check`."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from harness.measure.bill.count import bill
from harness.measure.bill.outside import whole_bill
from harness.models import build as build_network
from harness.record.errors import BadInput


def recount(config: Mapping[str, Any], summary: Mapping[str, Any]) -> Mapping[str, int | None]:
    """MACs per image at the base resolution, by the names run.json uses; raises HarnessError where it cannot.

    Of an imported record, config is {imported, constructor, resolution}; empty where nothing here constructs it.
    """
    if config.get("imported"):
        return whole_bill(config["constructor"], int(config["resolution"]), int(summary["dataset"]["classes"])) or {}
    model = config["model"]
    classes = int(summary["dataset"]["classes"])
    return _count(model["name"], json.dumps(model["kwargs"]), classes, int(config["data"]["resolution"]))


@cache
def _count(name: str, kwargs_json: str, classes: int, resolution: int) -> dict[str, int | None]:
    try:
        network = build_network(name, classes=classes, **json.loads(kwargs_json))
    except KeyError as error:
        raise BadInput(f"{name} is not in the zoo of this version") from error
    counted = bill(network, resolution=resolution)
    return {**counted.as_recorded(), "recomputed_macs": counted.recomputed_macs}
