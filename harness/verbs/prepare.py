"""`harness prepare`: packs the images of any layout once into the store that data=prepared reads."""

import argparse
import os
from pathlib import Path

from harness.measure.machine.output import make_lasting
from harness.record.errors import BadInput
from harness.record.words import several


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The source as overrides, as for `harness train`; what becomes of it as options."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="data=imagenet data.root=PATH; data.resolution=, data.classes=, data.images_per_class= as for train",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the prepared set shall lie")
    parser.add_argument(
        "--short-side", type=_positive, metavar="N", help="pixels of training images (default: the evaluation's, 256)"
    )
    parser.add_argument("--format", choices=("jpeg", "raw"), default="jpeg", help="of training images (default: jpeg)")
    parser.add_argument("--quality", type=_quality, default=90, metavar="N", help="of JPEGs, 1 to 95 (default: 90)")
    parser.add_argument("--square", action="store_true", help="keep the central square only")
    parser.add_argument("--workers", type=_positive, default=0, metavar="N", help="processes (default: all cores)")
    parser.add_argument("--verify", action="store_true", help="only compare the checksums of FOLDER")


def main(args: argparse.Namespace) -> int:
    """Prepare, or verify. Raises BadInput for wrong overrides, sources and stores."""
    # Not at the top: the help answers without the seconds that torch takes.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from harness.measure.data.store import files, pack

    make_lasting()
    out = Path(os.path.expanduser(args.out))  # unlike Path's own, it leaves ~ where there is no home folder
    if args.verify:
        print(f"{out}: {several(files.verify(out), 'file')} verified")
        return 0
    own = ("out", "short_side", "format", "quality", "square", "workers", "verify")
    for override in args.overrides:
        key, _, value = override.partition("=")
        if key in own:
            raise BadInput(f"{override}: give it as an option, --{key.replace('_', '-')} {value}".rstrip())
    source, packing = pack.choose(
        args.overrides, short_side=args.short_side, encoding=args.format, quality=args.quality, square=args.square
    )
    use = f"train with data=prepared data.root={out} data.pixels={packing.pixels}"
    if packing.name != "imagenet":
        use += f" data.name={packing.name} data.resolution={packing.resolution} data.crop_ratio={packing.crop_ratio}"
    if pack.is_packed(out, packing):
        print(f"{out}: prepared already; {use}")
        return 0
    columns = (TextColumn("preparing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=sum(len(images.labels) for images in source.splits.values()))
        pack.pack(out, packing, source, workers=args.workers, advance=lambda images: progress.advance(task, images))
    print(f"{out}: done; {use}")
    return 0


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text}: it must be a whole number above 0")
    return int(text)


def _quality(text: str) -> int:
    if _positive(text) > 95:
        raise argparse.ArgumentTypeError(f"{text}: above 95 a JPEG grows without gain; use 1 to 95, or --format raw")
    return int(text)
