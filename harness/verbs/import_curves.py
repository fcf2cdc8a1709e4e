"""`harness import-curves`: learning curves that others made become records marked `imported`."""

import argparse
import sys
from pathlib import Path

from harness.analyse.foreign.macs import Counter, table_counter
from harness.analyse.foreign.reader import read_curves
from harness.analyse.foreign.records import dataset_block, write_records
from harness.analyse.foreign.text.columns import FACTS, Reading
from harness.record.errors import BadInput
from harness.record.words import several

DESCRIPTION = f"""\
Learning curves that others made become records marked `imported`.

FILE is a table with any delimiter, W&B's or TensorBoard's export, timm's summary.csv, a log with a JSON object a line,
or an index: a table with a column file, which names files beside it. A line is an evaluation: epoch or images (both
cumulative), top1 and, where it was logged, top5. What else a curve is stands in columns or is said with --set:
{", ".join(FACTS)}.
Columns are found by their usual headings; what was guessed is printed, and --map and --unit say what is meant.
Forward MACs come from the bill where the zoo, torchvision or timm constructs the network. Nothing is written where a
line is unusable.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb; the help explains the columns."""
    parser.description = DESCRIPTION
    parser.add_argument("file", type=Path, metavar="FILE", help="curves, or an index of files with curves")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="root of the run folders")
    parser.add_argument(
        "--source", default="", metavar="TEXT", help="where curves come from that do not say it themselves"
    )
    parser.add_argument(
        "--map", action="append", default=[], metavar="NAME=HEADING", help="top1=eval_top1: which column"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="model=resnet18: for every curve"
    )
    parser.add_argument("--unit", choices=("percent", "fraction"), help="of the accuracies, where no heading says it")
    parser.add_argument("--epochs-from", type=int, choices=(0, 1), help="how the log counts its first epoch")
    parser.add_argument(
        "--join", type=Path, action="append", default=[], metavar="TABLE", help="more columns for an index"
    )
    parser.add_argument(
        "--macs", type=Path, metavar="TABLE", help="counted networks: constructor,resolution,forward_macs"
    )
    parser.add_argument("--like", type=Path, metavar="RUN", help="a measured run on the same data: joins its trend")
    parser.add_argument("--dataset", default="imagenet", help="name of the data set (default imagenet)")
    parser.add_argument("--train-images", type=int, default=1_281_167, metavar="N", help="images in an epoch")
    parser.add_argument("--evaluation-images", type=int, default=50_000, metavar="N", help="images judged")
    parser.add_argument("--classes", type=int, default=1000, metavar="N")
    parser.add_argument(
        "--resolution", type=int, default=224, metavar="N", help="pixels, where a curve does not say it"
    )
    parser.add_argument("--evaluations-per-epoch", type=int, default=1, metavar="N", help="the curves' cadence")


def main(args: argparse.Namespace) -> int:
    """Write one record a curve; exit code 0. Nothing is written where a line is unusable."""
    names = ("train_images", "evaluation_images", "classes", "resolution")
    dataset = dataset_block(args.dataset, {name: getattr(args, name) for name in names}, args.like)
    reading = Reading(_pairs(args.map, "--map"), _pairs(args.set, "--set"), args.unit, args.epochs_from)
    count = bill_counter(dataset["classes"]) if args.macs is None else table_counter(args.macs)
    read = read_curves(args.file, reading=reading, dataset=dataset, count=count, tables=args.join)
    written = write_records(
        read, args.out, dataset=dataset, source=args.source, evaluations_per_epoch=args.evaluations_per_epoch
    )
    for note in (note for r in read for note in r.notes):
        print(f"harness: {note}", file=sys.stderr)
    for folder, evaluations in written:
        print(f"{folder}: {'there already' if evaluations is None else several(evaluations, 'evaluation')}")
    return 0


def bill_counter(classes: int) -> Counter:
    """The measuring room's bill where its packages can be imported; else one that knows no network."""
    try:
        from harness.measure.bill.outside import forward_macs
    except ImportError:
        return lambda _network, _resolution: None
    return lambda network, resolution: forward_macs(network, resolution, classes)


def _pairs(given: list[str], option: str) -> dict[str, str]:
    if bad := [text for text in given if "=" not in text]:
        raise BadInput(f"{option} {bad[0]}: write NAME=VALUE")
    return {name.strip(): value.strip() for name, _, value in (text.partition("=") for text in given)}
