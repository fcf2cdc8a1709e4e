"""The protocol version and the key that says which runs may be compared."""

import hashlib
import json
from typing import Any

from harness.record.target import Target

PROTOCOL_VERSION = 1
"""Raised whenever a change makes old and new records incomparable (counting rules, evaluation, what a step is)."""


def digest(data: Any) -> str:
    """sha256 (hex) of plain data in canonical JSON."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()


def canonical_json(data: Any) -> str:
    """One text for equal data: sorted keys, no spaces, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def comparability_key(dataset_fingerprint: str, target: Target | None, protocol_version: int = PROTOCOL_VERSION) -> str:
    """Twelve hex digits over data set, target and protocol; a trend refuses to mix keys.

    The target's `source` is prose about the value and stays out of the key.
    """
    level = None if target is None else {k: v for k, v in target.as_dict().items() if k != "source"}
    return digest({"dataset": dataset_fingerprint, "target": level, "protocol": protocol_version})[:12]
