"""The architectures' cards (conf/model/*.yaml) and their networks, without composing a whole config."""

import difflib
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn

import models
from harness.record.errors import BadInput

CARDS = Path(__file__).resolve().parents[2] / "conf" / "model"


def names() -> list[str]:
    """All architectures, oldest first."""
    return sorted(models.ZOO, key=lambda name: (read_card(name, resolution=224)["published"], name))


def read_card(name: str, *, resolution: int) -> dict[str, Any]:
    """One card as plain data, its interpolations resolved at `resolution`; raises BadInput for an unknown name."""
    path = CARDS / f"{name}.yaml"
    if name not in models.ZOO or not path.exists():
        near = difflib.get_close_matches(name, models.ZOO, n=3, cutoff=0.4) or sorted(models.ZOO)
        raise BadInput(f"no architecture {name!r}; did you mean {', '.join(near)}?")
    node = OmegaConf.create({"model": OmegaConf.load(path), "data": {"resolution": resolution}})
    plain = OmegaConf.to_container(node, resolve=True)
    assert isinstance(plain, dict)
    card: dict[str, Any] = plain["model"]
    return card


def skeleton(name: str, *, resolution: int, classes: int = 1000) -> nn.Module:
    """The network with shapes but no weights, where its constructor can do without: built in milliseconds."""
    kwargs = read_card(name, resolution=resolution)["kwargs"]
    try:
        with torch.device("meta"):
            return models.build(name, classes=classes, **kwargs)
    except NotImplementedError:  # torchvision's RegNet computes its widths with tensors
        return models.build(name, classes=classes, **kwargs)
