"""`make results`: results/README.md, a walk from one command to the figure with the terminal's own output in it."""

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import yaml

from harness.analyse.show.figures.gallery import pictures
from harness.analyse.show.templates import environment
from harness.cli import main as harness
from harness.paths import CONF, ROOT
from harness.record.errors import HarnessError
from harness.record.files import write_atomic

RESULTS = ROOT / "results"
LADDER = "fashion_mnist"
RUN = RESULTS / "runs" / LADDER / "shufflenet_v2_x1_0" / "9a29f4246b23"


def main() -> None:
    """Write results/README.md. Raises HarnessError where a command of the walk fails."""
    os.chdir(ROOT)  # commands name folders as a reader in the repository would
    document = json.loads((RESULTS / LADDER / "trend.json").read_text(encoding="utf-8"))
    page = (
        environment(Path(__file__).parent / "templates")
        .get_template("README.md.j2")
        .render(
            ladder=LADDER,
            run=RUN.relative_to(ROOT).as_posix(),
            first_line=(RUN / "curve.jsonl").read_text(encoding="utf-8").splitlines()[0],
            command=" ".join(json.loads((RUN / "provenance.json").read_text(encoding="utf-8"))["overrides"]),
            ratio=forward_macs("alexnet") / forward_macs("shufflenet_v2_x1_0"),
            pictures=pictures(document["groups"][0], document["published"]),
            printed=printed,
        )
    )
    write_atomic(RESULTS / "README.md", page)
    print("wrote results/README.md")


def forward_macs(model: str) -> int:
    """Return the multiply-accumulates of one image that an architecture's card states."""
    return int(yaml.safe_load((CONF / "model" / f"{model}.yaml").read_text(encoding="utf-8"))["forward_macs"])


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
