"""How far a measured network is from the published one: the questions of a card's `fidelity`, and their short codes."""

from collections.abc import Mapping
from typing import Any

FLAGS = {
    "op": ("era_operators", False, "uses operators later than its publication"),
    "bn": ("batchnorm_before_2015", True, "batch normalisation in an architecture older than it"),
    "k": ("changed_kernels", True, "kernels, widths, groups or strides differ from the paper's"),
    "ema": ("ema_as_published", False, "weight averaging not as published"),
    "do": ("dropout_as_published", False, "dropout not as published"),
    "sd": ("stochastic_depth_as_published", False, "stochastic depth not as published"),
}
"""Short code: (key of `fidelity`, the answer that raises the flag, meaning)."""

UNKNOWN: dict[str, None] = dict.fromkeys(name for name, _, _ in FLAGS.values())
"""Every question, unanswered: a curve from elsewhere tells nothing of its network."""


def flags_of(fidelity: Mapping[str, Any]) -> list[str]:
    """Codes of what keeps the measured network from being the published one; an unknown (null) raises none."""
    return [code for code, (name, bad, _) in FLAGS.items() if fidelity.get(name) is bad]
