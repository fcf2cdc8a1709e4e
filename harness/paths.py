"""Where the project's own files lie: beside the package in a checkout, inside it once a wheel is installed."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
"""The repository in a checkout; the folder that holds the package once installed."""


def _shipped(inside: str, beside: str) -> Path:
    """The folder inside the package if it is there, else the one of the checkout."""
    return PACKAGE / inside if (PACKAGE / inside).is_dir() else ROOT / beside


CONF = _shipped("conf", "conf")
PUBLISHED = _shipped("published", "results/published")
