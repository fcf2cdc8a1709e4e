"""How long aggregation takes and how it grows: `python -m tests.bench.aggregate_bench [RECORDS...]`.

Writes synthetic records (25 architectures, 20 evaluations a run) to a temporary folder, aggregates them in a process
of its own and prints seconds, records a second and peak memory, the reading processes included (cpu s: without them);
then the draws alone, 10,000 draws over 25 architectures x 5 seeds.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

from harness.analyse.evidence.cost import Costs
from harness.analyse.trend.draws import draw_costs, halving_percentile
from tests.analyse.synthetic import Made, curve_reaching, day, write_run

ARCHITECTURES = 25
CHILD = """
import os, resource, sys, time
from pathlib import Path
start = time.perf_counter()
from harness.analyse.show import aggregate
document = aggregate.build(Path(sys.argv[1]))
built, cpu = time.perf_counter() - start, time.process_time()
aggregate.write(document, Path(sys.argv[2]), figures=True)
total = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
peak += min(8, 2 * os.cpu_count()) * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # at most: the readers
print(built, total, cpu, peak * 1024)
"""


def make(root: Path, records: int) -> None:
    """`records` runs, the same number of seeds an architecture, one in twenty censored."""
    chance = random.Random(0)
    with mock.patch.object(os, "fsync"):  # nobody needs these records after a power cut
        for number in range(records):
            step = number % ARCHITECTURES
            missed = chance.random() < 0.05
            write_run(
                root,
                Made(
                    model="alexnet" if step == 0 else f"net{step}",
                    published=day(3.5 * step),
                    seed=number // ARCHITECTURES,
                    forward_macs=round(1e9 * 2 ** (-step / 4)),
                    accuracies=[0.3] * 20 if missed else curve_reaching(chance.randint(16, 24)),
                    outcome="budget_exhausted" if missed else "reached",
                ),
            )


def main() -> None:
    """Print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", nargs="*", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, help="keep the records here and use them again")
    args = parser.parse_args()
    print(f"{'records':>9} {'analysed s':>11} {'cpu s':>8} {'with files s':>13} {'records/s':>10} {'peak GB':>8}")
    for records in args.records:
        with tempfile.TemporaryDirectory() as temporary:
            root = args.folder / str(records) if args.folder else Path(temporary) / "runs"
            if not root.exists():
                make(root, records)
            command = [sys.executable, "-c", CHILD, str(root), str(Path(temporary) / "out")]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        built, total, cpu, peak_bytes = (float(word) for word in done.stdout.split())
        speed, peak = f"{records / built:>10,.0f}", f"{peak_bytes / 1e9:>8.2f}"
        print(f"{records:>9,} {built:>11.2f} {cpu:>8.2f} {total:>13.2f} {speed} {peak}")
    rng = np.random.default_rng(0)
    high = 20 + 5 * rng.random((ARCHITECTURES, 5))
    costs = {f"net{number}": Costs(row - 1, row) for number, row in enumerate(high)}
    for draws in (1_000, 10_000, 100_000):
        start = time.process_time()
        plans = dict.fromkeys(costs, 40.0)
        halving_percentile(np.arange(float(ARCHITECTURES)), draw_costs(costs, plans, draws, 0).values)
        print(f"seeds, {draws:,} draws, {ARCHITECTURES} x 5: {time.process_time() - start:.3f} s on one core")


if __name__ == "__main__":
    main()
