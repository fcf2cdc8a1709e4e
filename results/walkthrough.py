"""`make results`: results/README.md, a walk from one command to the figure with the terminal's own output in it."""

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from harness.analyse.evidence.titles import named, short_title
from harness.analyse.show.figures.gallery import pictures
from harness.analyse.show.templates import environment
from harness.cli import main as harness
from harness.paths import ROOT
from harness.record.errors import HarnessError
from harness.record.files import write_atomic
from harness.record.folders.folder import CURVE, PROVENANCE, RUN
from results.readme import measured
from results.rejudged import LADDER as FIRST_LADDER

RESULTS = ROOT / "results"


def main() -> None:
    """Write results/README.md. Raises HarnessError where a command of the walk fails."""
    os.chdir(ROOT)  # commands name folders as a reader in the repository would
    shown = measured(ROOT)
    assert shown is not None  # a ladder is committed
    ladder, group, published = shown
    cheapest = group["trend"]["cheapest"]  # the walk goes along one of its runs
    own = next(r for r in group["rows"] if r["in_trend"] and r["model"] == cheapest)
    forward = {r["model"]: r["forward_macs"] for r in group["rows"]}
    run = min(path.parent for path in (RESULTS / "runs" / ladder / cheapest).glob(f"*/{RUN}"))
    page = (
        environment(Path(__file__).parent / "templates")
        .get_template("README.md.j2")
        .render(
            ladder=ladder,
            cheapest=cheapest,
            title=short_title(own["title"]),
            run=run.relative_to(ROOT).as_posix(),
            first_line=(run / CURVE).read_text(encoding="utf-8").splitlines()[0],
            command=" ".join(json.loads((run / PROVENANCE).read_text(encoding="utf-8"))["overrides"]),
            resolution=own["resolution"],
            classes=group["dataset"]["classes"],
            ratio=forward["alexnet"] / own["forward_macs"],
            pictures=pictures(group, published),
            first_ladder=first_ladder(),
            printed=printed,
        )
    )
    write_atomic(RESULTS / "README.md", page)
    print("wrote results/README.md")


def first_ladder() -> dict[str, Any]:
    """Return folder, data, level and trend of the ladder that was measured under protocol 1."""
    document = json.loads((RESULTS / FIRST_LADDER / "trend.json").read_text(encoding="utf-8"))
    (group,) = document["groups"]
    (reference,) = [r for r in group["rows"] if r["in_trend"] and r["model"] == group["trend"]["reference"]]
    return {
        "folder": FIRST_LADDER,
        "data": named(group["dataset"]["name"]),
        "images": group["dataset"]["train_images"],
        "reached": reference["reached"],
        "n": reference["n"],
        "factor": group["trend"]["reduction_factor"],
        "interval": group["trend"]["reduction_interval"],
    }


def printed(command: str) -> str:
    """Run a command of the harness; return it with what it prints, as a block of a terminal."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        code = harness(command.split()[1:])
    if code:
        raise HarnessError(f"{command}: exit code {code}")
    lines = [line.rstrip() for line in out.getvalue().strip("\n").splitlines()]
    return "\n".join(["```text", f"$ {command}", *lines, "```"])


if __name__ == "__main__":
    main()
