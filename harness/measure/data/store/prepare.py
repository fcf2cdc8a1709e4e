"""`harness prepare`: packs an image folder once into the store that data=prepared reads (data/store.py).

In parallel, shard by shard; started again after an interruption it keeps every finished shard.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.record.errors import BadInput


@dataclass(frozen=True)
class Options:
    """The verb's own arguments, given as key=value like all others."""

    out: str = ""
    short_side: int = 256
    format: str = "jpeg"
    quality: int = 90
    square: bool = False
    workers: int = 0  # 0 = all cores
    verify: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Overrides as for `harness train`, and the options of this verb in the same manner."""
    parser.add_argument(
        "overrides",
        nargs="+",
        metavar="KEY=VALUE",
        help="data=imagenet data.root=TREE out=FOLDER; optional: short_side=256, format=jpeg (quality=90) or raw, "
        "square=true (central square only), workers=N, verify=true (only compare checksums), and data.resolution=, "
        "data.classes=, data.images_per_class= as for train",
    )


def main(args: argparse.Namespace) -> int:
    """Prepares, or verifies with verify=true. Raises BadInput for wrong options, trees and files."""
    options, overrides = parse(args.overrides)
    from harness.measure.data.store import files as store
    from harness.measure.data.store import pack

    out = Path(options.out).expanduser()
    if options.verify:
        print(f"{out}: {store.verify(out)} files verified")
        return 0
    source, recipe = pack.plan(
        overrides,
        short_side=options.short_side,
        encoding=options.format,
        quality=options.quality,
        square=options.square,
    )
    use = f"train with data=prepared data.root={out} data.pixels={recipe.pixels}"
    if pack.is_packed(out, recipe):
        print(f"{out}: prepared already; {use}")
        return 0
    with Progress(sum(len(split.labels) for split in source.values())) as advance:
        pack.pack(out, recipe, source, workers=options.workers, advance=advance)
    print(f"{out}: done; {use}")
    return 0


def parse(arguments: list[str]) -> tuple[Options, list[str]]:
    """Splits the verb's own key=value from the config's overrides. Raises BadInput for values that make no store."""
    known = {name: type(value) for name, value in asdict(Options()).items()}
    own: dict[str, str | int | bool] = {}
    overrides = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in known:
            overrides.append(argument)
        elif known[key] is bool:
            own[key] = _one_of(key, value.lower(), ("true", "false")) == "true"
        elif known[key] is int:
            own[key] = _positive(key, value)
        else:
            own[key] = value
    options = replace(Options(), **own)  # type: ignore[arg-type]
    _one_of("format", options.format, ("jpeg", "raw"))
    if not options.out:
        raise BadInput("out is not set: pass out=FOLDER, where the prepared set shall lie")
    if options.quality > 95:
        raise BadInput(f"quality={options.quality}: above 95 a JPEG grows without gain; use 1 to 95, or format=raw")
    return options, overrides


class Progress:
    """A bar on a terminal, a line per tenth otherwise, on stderr."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._tenth = total, 0, 0
        self._bar: object | None = None

    def __enter__(self) -> Callable[[int], None]:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("preparing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = bar = Progress(*columns, console=Console(stderr=True))
            bar.start()
            task = bar.add_task("", total=self._total)
            return lambda images: bar.advance(task, images)
        return self._line

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()  # type: ignore[attr-defined]

    def _line(self, images: int) -> None:
        self._done += images
        tenth = 10 * self._done // max(1, self._total)
        if tenth > self._tenth:
            self._tenth = tenth
            print(f"preparing: {self._done} of {self._total} images", file=sys.stderr)


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise BadInput(f"{key}={value}: use one of {', '.join(allowed)}")
    return value


def _positive(key: str, value: str) -> int:
    if not value.isdigit() or int(value) == 0:
        raise BadInput(f"{key}={value}: it must be a whole number above 0")
    return int(value)
