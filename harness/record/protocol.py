"""The protocol version and the key that says which runs may be compared."""

import hashlib
import json
from typing import Any

from harness.record.target import Target

PROTOCOL_VERSION = 2
"""Raised whenever a change makes old and new records incomparable (counting rules, evaluation, what a step is)."""

CONFIRM = 2
"""Looks in a row at the level that make a crossing, where nobody says otherwise: protocol 2's rule, conf/rule.yaml."""

READABLE_PROTOCOLS = (1, 2)
"""Versions whose records this harness reads, checks and shows. A trend never mixes them.

1: the first look at the level is the crossing. 2: the looks after it must confirm it (`Target.confirm`).
"""


def digest(data: Any) -> str:
    """sha256 (hex) of plain data as JSON, in one text for equal data: sorted keys, no spaces, no NaN."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def comparability_key(dataset_fingerprint: str, target: Target | None, protocol_version: int = PROTOCOL_VERSION) -> str:
    """Twelve hex digits over data set, target and protocol; a trend refuses to mix keys.

    Only what decides the cost to the level is in it. The target's `source` is prose; what the run did past the crossing
    and which other levels it watched change nothing before it. A run that watches several has a key for each
    (`Target.each`).
    """
    level = None
    if target is not None:
        names = ("metric", "value", "split", "evaluations_per_epoch")
        level = {name: getattr(target, name) for name in names}
        if protocol_version > 1:
            level["confirm"] = target.confirm
    return digest({"dataset": dataset_fingerprint, "target": level, "protocol": protocol_version})[:12]
