"""The words that name runs, for every verb that takes them."""

import argparse
import re

from harness.record.errors import BadInput

_OF_HYDRA = (
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--package", "-p", "--info", "-i"),
    *("--resolve", "--run", "-r", "--hydra-help", "--shell-completion", "-sc", "--experimental-rerun"),
)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """KEY=VALUE... and -m."""
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides, e.g. model=alexnet seed=1")
    parser.add_argument("-m", "--multirun", action="store_true", help="sweep over comma-separated values")


def more_overrides(rest: list[str]) -> list[str]:
    """What argparse left over, as overrides: in Hydra's words, or as `--key=value`, which a W&B agent hands on.

    Raises BadInput for an option that there is none of.
    """
    words = [re.sub(r"^--(?=[\w.@/]+=)", "", word) for word in rest]
    for word in words:
        if word.partition("=")[0] in _OF_HYDRA:
            raise BadInput(
                f"{word}: an option of Hydra's that is not obeyed here; the config is conf/, words change it"
            )
        if word.startswith("-"):
            raise BadInput(
                f"{word}: there is no such option; see --help. A W&B agent has ${{args_no_hyphens}} for words"
            )
    return words
