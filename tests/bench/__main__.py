"""Benchmarks beside their peers, in one run: `python -m tests.bench [loader] [loop] [modes] [counting] [tracking]
[start] [sweep] [recipes] [coverage]`.

Medians of --rounds rounds, methods interleaved, a pinned process each. Peers that are not installed are left out:
pip install timm accelerate lightning nvidia-dali-cuda130 adds them. Results go to results/throughput/*.json with the
hardware and versions they hold for. On a shared machine read the ratios, not the rates. About half an hour in all.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

from tests.bench import core

UNTIMED = ("recipes", "coverage")  # only where asked for: long, and no clock is read
SUITES = ("loader", "loop", "modes", "counting", "tracking", "start", "sweep")


def main() -> None:
    """Run the suites that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "suites", nargs="*", default=[], help=f"{', '.join(SUITES)} (default: all), or recipes or coverage"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=512, help="size of the generated tree of the loader suite")
    parser.add_argument("--steps", type=int, default=8, help="timed steps per round of the loop suite")
    parser.add_argument("--epochs", type=int, default=8, help="length of the equal runs of the sweep suite")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "harness-bench")
    parser.add_argument("--out", type=Path, default=core.RESULTS)
    args = parser.parse_args()
    unknown = set(args.suites) - {*SUITES, *UNTIMED}
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join((*SUITES, *UNTIMED))}")
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # torchvision.io's, once per call
    for suite in args.suites or SUITES:
        if suite == "recipes":
            from tests.bench import recipes

            recipes.run()
            continue
        if suite == "coverage":
            from tests.bench import coverage_bench

            coverage_bench.run()
            continue
        facts = core.circumstances()
        if suite == "loader":
            from tests.bench import loader

            found = loader.run(args.images, args.rounds, args.scratch)
        elif suite == "loop":
            from tests.bench import loop

            found = loop.run(args.rounds, args.steps)
        elif suite == "modes":
            from tests.bench import loop

            found = loop.run_modes(args.rounds, args.steps)
        elif suite == "tracking":
            from tests.bench import tracking

            found = tracking.run(args.rounds)
        elif suite == "start":
            from tests.bench import start

            found = start.run(args.rounds)
        elif suite == "sweep":
            from tests.bench import sweep

            found = sweep.run(args.rounds, args.epochs)
        else:
            from tests.bench import counting

            found = counting.run(args.rounds)
        core.write(suite, {"circumstances": facts, "rounds": args.rounds, **found}, args.out)


if __name__ == "__main__":
    main()
