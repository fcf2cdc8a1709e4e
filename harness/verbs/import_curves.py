"""`harness import-curves`: foreign learning curves (a CSV) become records marked `imported`."""

import argparse
from pathlib import Path

from harness.analyse.evidence import import_curves


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb; the help explains the columns."""
    parser.description = import_curves.__doc__
    parser.add_argument("csv", type=Path, metavar="CSV", help="run,model,published,epoch|images,top1,top5,forward_macs")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="root of the run folders")
    parser.add_argument(
        "--source", required=True, metavar="TEXT", help="where the curves come from: paper, table, page"
    )
    parser.add_argument("--like", type=Path, metavar="RUN", help="a measured run on the same data: joins its trend")
    parser.add_argument("--dataset", default="imagenet", help="name of the data set (default imagenet)")
    parser.add_argument("--train-images", type=int, default=1_281_167, metavar="N", help="images in an epoch")
    parser.add_argument("--evaluation-images", type=int, default=50_000, metavar="N", help="images judged")
    parser.add_argument("--classes", type=int, default=1000, metavar="N")
    parser.add_argument("--resolution", type=int, default=224, metavar="N", help="pixels")
    parser.add_argument("--evaluations-per-epoch", type=int, default=1, metavar="N", help="the curves' cadence")


def main(args: argparse.Namespace) -> int:
    """Write one record a run of the CSV; exit code 0. Nothing is written where a line is unusable."""
    names = ("train_images", "evaluation_images", "classes", "resolution")
    sizes = {name: getattr(args, name) for name in names}
    dataset = import_curves.dataset_block(args.dataset, sizes, args.like)
    written = import_curves.import_curves(
        args.csv, args.out, source=args.source, dataset=dataset, evaluations_per_epoch=args.evaluations_per_epoch
    )
    for folder, evaluations in written:
        print(f"{folder}: {'there already' if evaluations is None else f'{evaluations} evaluations'}")
    return 0
