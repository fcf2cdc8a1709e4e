"""The words that name runs, for every verb that takes them."""

import argparse


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """KEY=VALUE... and -m."""
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides, e.g. model=alexnet seed=1")
    parser.add_argument("-m", "--multirun", action="store_true", help="sweep over comma-separated values")
