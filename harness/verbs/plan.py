"""`harness plan`: what a run or a sweep would cost, and whether everything it needs is there. Starts nothing."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from harness.measure.machine.importing import uncollected
from harness.record.errors import EXIT_BAD_INPUT, EXIT_DONE, BadInput
from harness.record.units import paper_pflop
from harness.record.words import several
from harness.verbs.words import add_overrides

if TYPE_CHECKING:
    from harness.measure.config.schema import Config
    from harness.measure.sweep.forecast import Forecast


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb: those of `harness train`."""
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="print the forecast as one JSON document")


def main(args: argparse.Namespace) -> int:
    """Print the forecast; 2 when something is missing or the cap is exceeded."""
    from harness.measure.sweep.expand import jobs_of  # not at the top: `harness plan --help` needs no Hydra

    jobs, launcher = jobs_of(args.overrides, multirun=args.multirun)
    configs = [job.config for job in jobs]
    with uncollected():  # these import torch, which takes seconds: words that are wrong are told before
        from harness.measure.bill.memory import unfit
        from harness.measure.sweep.forecast import forecast, missing, respect_cap

    rows = forecast(configs)
    problems = missing(configs, launcher.name) + unfit(configs)
    try:
        respect_cap(configs, rows)
    except BadInput as error:
        problems.append(str(error))
    if args.json:
        budget = configs[0].budget
        document = {
            "runs": [asdict(row) for row in rows],
            "paper_pflop": paper_pflop(sum(row.train_forward_macs for row in rows)),
            "gpu": budget.gpu,
            "utilisation": budget.utilisation,
            "gpu_hours": sum(row.gpu_hours for row in rows),
            "disk_bytes": sum(row.disk_bytes for row in rows),
            "problems": problems,
        }
        print(json.dumps(document, indent=1))
    else:
        _print_table(configs, rows)
        for problem in problems:
            print(f"harness: {problem}", file=sys.stderr)
    return EXIT_BAD_INPUT if problems else EXIT_DONE


def _print_table(configs: "Sequence[Config]", rows: "Sequence[Forecast]") -> None:
    budget = configs[0].budget
    table = Table(box=None)
    for heading in ("model", "runs", "GMAC/image", "epochs", "from", "PFLOP", f"{budget.gpu}-hours", "disk MB"):
        table.add_column(heading, justify="left" if heading in ("model", "from") else "right")
    groups: dict[tuple[str, int, float, str, int], list[Forecast]] = {}
    for row in rows:  # runs that differ in nothing but the seed share a line
        groups.setdefault((row.model, row.forward_macs, row.epochs, row.basis, row.macs), []).append(row)
    for (model, forward_macs, epochs, basis, _), group in groups.items():
        pflop, hours, disk = _sums(group)
        costs = (f"{pflop:.4g}", f"{hours:.3g}", f"{disk / 1e6:.0f}")
        table.add_row(model, str(len(group)), f"{forward_macs / 1e9:.3f}", f"{epochs:g}", basis, *costs)
    Console(width=100, highlight=False).print(table)
    pflop, hours, disk = _sums(rows)
    print(
        f"{several(len(rows), 'run')}: {pflop:.4g} PFLOP, {hours:.3g} {budget.gpu}-hours "
        f"at {budget.utilisation:.0%} of peak (arithmetic alone), {disk / 1e6:.0f} MB on disk"
    )


def _sums(rows: "Sequence[Forecast]") -> tuple[float, float, int]:
    """PFLOP of training in the study's unit, GPU-hours, bytes on disk."""
    pflop = paper_pflop(sum(row.train_forward_macs for row in rows))
    return pflop, sum(row.gpu_hours for row in rows), sum(row.disk_bytes for row in rows)
