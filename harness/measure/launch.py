"""`harness train`: one measured run, or a sweep of them."""

import argparse
import itertools
import sys

from harness.measure.interrupt import StopFlag
from harness.record.errors import EXIT_INTERRUPTED, BadInput, HarnessError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides, e.g. model=alexnet seed=1")
    parser.add_argument("-m", "--multirun", action="store_true", help="sweep over comma-separated values")
    parser.add_argument("--cfg", action="store_true", help="print the composed config and stop")
    parser.add_argument("--json", action="store_true", help="print the finished run's summary as one JSON document")


def main(args: argparse.Namespace) -> int:
    """Run what was asked; the exit code of a sweep is that of its first run that did not end with 0."""
    stop = StopFlag().install()  # before torch is imported, which takes seconds
    from harness.measure.config import compose, recorded
    from harness.measure.run import run

    jobs = expand(args.overrides) if args.multirun else [args.overrides]
    configs = [compose(job) for job in jobs]  # all of them before the first starts
    if args.cfg:
        print("---\n".join(recorded(config) for config in configs), end="")
        return 0
    worst = 0
    for job, config in zip(jobs, configs, strict=True):
        try:
            code = run(config, overrides=job, stop=stop).exit_code
        except HarnessError as error:
            if len(jobs) == 1:
                raise
            print(f"harness: {' '.join(job)}: {error}", file=sys.stderr)
            code = error.exit_code
        worst = worst or code
        if code == EXIT_INTERRUPTED:
            break
    return worst


def expand(overrides: list[str]) -> list[list[str]]:
    """Every combination of comma-separated values, the last one varying fastest."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise BadInput(str(error).splitlines()[0]) from error
    choices = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [text]
        for override, text in zip(parsed, overrides, strict=True)
    ]
    return [list(job) for job in itertools.product(*choices)]
