"""The published study's constants, read from results/published/: typed once there, with their source."""

import csv

from harness.paths import PUBLISHED
from harness.record.errors import BadInput

FRONTIER_LEVEL = "alexnet_top5_79.1"


def table(name: str) -> list[dict[str, str]]:
    """Rows of one CSV, as text; raises BadInput where the file is missing or empty."""
    path = PUBLISHED / name
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; it comes with the source tree: restore it") from error
    if not rows:
        raise BadInput(f"{path}: empty; it comes with the source tree: restore it")
    return rows


def claims() -> dict[str, float]:
    """Single numbers from the papers' text, by name."""
    return {row["claim"]: float(row["value"]) for row in table("claims.csv")}


def frontier_points() -> tuple[list[str], list[str], list[float]]:
    """Names, dates and tfs-days of the six published points at AlexNet's level."""
    rows = [r for r in table("efficiency_sota.csv") if r["level"] == FRONTIER_LEVEL]
    names, dates = [r["publication"] for r in rows], [r["publication_date"] for r in rows]
    return names, dates, [float(r["compute_tfs_days"]) for r in rows]
