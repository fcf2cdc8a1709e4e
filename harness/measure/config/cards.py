"""The architectures' cards (conf/model/*.yaml) and their networks, without composing a whole config."""

import difflib
from functools import partial
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from harness.models import ZOO, without_weights
from harness.models import build as build_network
from harness.paths import CONF
from harness.record.errors import BadInput

if TYPE_CHECKING:
    from torch import nn

CARDS = CONF / "model"


def names() -> list[str]:
    """All architectures, oldest first."""
    return sorted(ZOO, key=lambda name: (read_card(name, resolution=224)["published"], name))


def read_card(name: str, *, resolution: int) -> dict[str, Any]:
    """One card as plain data, its interpolations resolved at `resolution`; raises BadInput for an unknown name."""
    path = CARDS / f"{name}.yaml"
    if name not in ZOO or not path.exists():
        raise BadInput(f"no architecture {name!r}: {what_it_lacks(name)}")
    node = OmegaConf.create({"model": OmegaConf.load(path), "data": {"resolution": resolution}})
    plain = OmegaConf.to_container(node, resolve=True)
    assert isinstance(plain, dict)
    card: dict[str, Any] = plain["model"]
    return card


def what_it_lacks(name: str) -> str:
    """Return what to do about a name that is no architecture: a card and a constructor make one."""
    if (CARDS / f"{name}.yaml").exists():
        return f"conf/model/{name}.yaml has no constructor, add it to ZOO in models/__init__.py"
    if name in ZOO:
        return f"models.ZOO has it, add its card conf/model/{name}.yaml"
    return f"did you mean {', '.join(difflib.get_close_matches(name, ZOO, n=3, cutoff=0.4) or sorted(ZOO))}?"


def skeleton(name: str, *, resolution: int, classes: int = 1000) -> "nn.Module":
    """The network of a card, without weights where its constructor can do without (see `without_weights`)."""
    kwargs = read_card(name, resolution=resolution)["kwargs"]
    return without_weights(partial(build_network, name, classes=classes, **kwargs))


def card_remark(card: dict[str, Any], *, params: int, forward_macs: int) -> str | None:
    """A line where a card was copied for another network: its numbers are not those counted (224 pixels)."""
    if (card["params"], card["forward_macs"]) == (params, forward_macs):
        return None
    return (
        f"conf/model/{card['name']}.yaml says {card['params']:,} params and {card['forward_macs']:,} forward_macs, but "
        f"the network has {params:,} and {forward_macs:,}: correct the card"
    )
