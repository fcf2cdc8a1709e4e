"""What a foreign curve's arithmetic was: forward MACs an image at every resolution that it trained at."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from harness.analyse.foreign.text.numbers import number
from harness.analyse.foreign.text.tables import read_lines
from harness.record.errors import BadInput

Counter = Callable[[str, int], int | None]
"""(constructor, resolution) -> forward MACs an image by the bill; None where it cannot tell (no such network here)."""

LEAST_MACS = 10**6
"""MACs an image under which a figure is in another unit: GMAC or MMAC."""

ALIKE = 0.05
"""A figure further than this from the bill of the network of that name is another network's, or another unit's."""


@dataclass(frozen=True)
class Stage:
    """From `first_epoch` (counted from 1) on, images have `resolution` pixels and cost `forward_macs` each.

    counted: by the bill; False for a figure that the file gave.
    """

    first_epoch: int
    resolution: int
    forward_macs: int
    counted: bool = True


def schedule(text: str, what: str) -> list[tuple[int, int]]:
    """(first epoch, resolution) of each stage: "224", or "1:128 76:160" for progressive training.

    Raises BadInput for anything else.
    """
    parts = text.split()
    pairs = [part.partition(":") for part in parts] if ":" in text else [("1", ":", text.strip())]
    if not all(first.isdigit() and size.isdigit() and int(size) > 0 for first, _, size in pairs):
        raise BadInput(f"{what} is {text!r}: write pixels, as 224, or stages by their first epoch, as 1:128 76:160")
    phases = [(int(first), int(size)) for first, _, size in pairs]
    if phases[0][0] != 1 or any(b[0] <= a[0] for a, b in pairwise(phases)):
        raise BadInput(f"{what} is {text!r}: stages begin at epoch 1 and rise")
    return phases


def stages(
    network: str, resolutions: list[tuple[int, int]], said: float | None, count: Counter, what: str
) -> tuple[Stage, ...]:
    """The bill of every stage; said: forward MACs that the file gives, which must be those of one stage.

    network: a constructor, as zoo:resnet18. Raises BadInput where a figure is in another unit or another network's, and
    where nobody knows one.
    """
    counted = [count(network, resolution) for _, resolution in resolutions]
    if said is not None:
        if said < LEAST_MACS:
            raise BadInput(
                f"{what} is {said:g}; give MACs per image, as 714188480 (not GMAC or MMAC: no network for images has "
                "under a million)"
            )
        if len(resolutions) > 1:
            raise BadInput(
                f"{what}: one figure for {len(resolutions)} resolutions; leave it empty and name --macs TABLE"
            )
        if counted[0] and abs(said / counted[0] - 1) > ALIKE:
            twice = "; that is FLOPs, two a MAC" if abs(said / counted[0] - 2) < 2 * ALIKE else ""
            raise BadInput(
                f"{what} is {round(said)}, but {network} has {counted[0]} at {resolutions[0][1]} pixels{twice}: "
                "correct it, leave it empty to take the bill's, or give the network a name of its own"
            )
        return (Stage(1, resolutions[0][1], round(said), counted=False),)
    unknown = [size for (_, size), macs in zip(resolutions, counted, strict=True) if macs is None]
    if unknown:
        raise BadInput(
            f"{what} is missing, and nothing here counts {network} at {unknown[0]} pixels: give forward_macs, or a "
            "table of counted networks with --macs"
        )
    return tuple(Stage(e, size, macs) for (e, size), macs in zip(resolutions, counted, strict=True) if macs is not None)


def forward_macs_of(stages: Sequence[Stage], images_an_epoch: int, images: int) -> int:
    """Forward MACs of the first `images` images, each at the resolution that it was trained at."""
    begins = [(stage.first_epoch - 1) * images_an_epoch for stage in stages]
    return sum(
        max(0, min(end, images) - begin) * stage.forward_macs
        for stage, begin, end in zip(stages, begins, [*begins[1:], images], strict=True)
    )


def table_counter(path: Path) -> Counter:
    """A counter that reads a committed table: columns constructor, resolution, forward_macs.

    Raises BadInput where a column is missing.
    """
    table = read_lines(path)
    if missing := {"constructor", "resolution", "forward_macs"} - set(table.header):
        raise BadInput(f"{path}: line 1: lacks {', '.join(sorted(missing))}")
    macs = {}
    for line in table.lines:
        size, bill = (round(number(line.cells[n], ".", f"{line.where}: {n}")) for n in ("resolution", "forward_macs"))
        macs[line.cells["constructor"], size] = bill
    return lambda network, resolution: macs.get((network, resolution))


def constructor_of(model: str, said: str) -> str:
    """The constructor of a curve: what it says, else the zoo's of its model's name.

    Raises BadInput for a name that no constructor has.
    """
    if said and not re.fullmatch(r"(zoo|torchvision|timm):[\w.]+(\?[\w.]+=[\w.]+(&[\w.]+=[\w.]+)*)?", said):
        raise BadInput(f"constructor is {said!r}: write zoo:, torchvision: or timm: and its name, as timm:darknet53")
    return said or f"zoo:{model}"
