"""`make results`: the MACs of every network that a published ImageNet curve trained, counted by our own bill."""

import csv
import io
from importlib.metadata import version
from pathlib import Path

from harness.analyse.foreign.macs import schedule
from harness.analyse.foreign.text.tables import read_lines
from harness.measure.bill.outside import whole_bill
from harness.paths import ROOT
from harness.record.errors import BadInput
from harness.record.files import write_atomic

OUT = ROOT / "results" / "imagenet_curves"
COLUMNS = ("forward_macs", "weight_gradient_macs", "input_gradient_macs", "params")
PACKAGES = ("torch", "torchvision", "timm")


def main(folder: Path = OUT) -> None:
    """Write macs.csv. Raises BadInput where nothing here constructs a network (timm is the extra `curves`)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["constructor", "resolution", *COLUMNS, "counted_with"])
    versions = ", ".join(f"{package} {version(package).partition('+')[0]}" for package in PACKAGES)
    lines = read_lines(folder / "curves.csv").lines
    wanted = {
        (line.cells["constructor"], resolution)
        for line in lines
        for _, resolution in schedule(line.cells["resolution"], f"{line.where}: resolution")
    }
    for constructor, resolution in sorted(wanted):
        counted = whole_bill(constructor, resolution)
        if counted is None:
            raise BadInput(f"nothing here constructs {constructor}: pip install '.[curves]' brings timm")
        writer.writerow([constructor, resolution, *(counted[name] for name in COLUMNS), versions])
    write_atomic(folder / "macs.csv", out.getvalue())
    print(f"wrote {folder / 'macs.csv'}: {len(wanted)} networks")


if __name__ == "__main__":
    main()
