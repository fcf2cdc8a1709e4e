"""Examples of run.json and trend.json, frozen in tests/golden/: what a reader of these files may rely on, key by key.

`python -m tests.frozen` writes them again: do that only where a key changes on purpose, and say so in the page that
explains the keys.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from harness.analyse.show import aggregate
from harness.measure.config.compose import compose
from harness.measure.run import run
from harness.paths import ROOT
from tests.analyse.synthetic import Made, curve_reaching, day, ladder, write_runs

GOLDEN = Path(__file__).parent / "golden"
BY_NAME = ("outcomes", "missed", "sha256", "dataset.notes", "also")
"""Keys that hold a mapping whose own keys are names, not words of the format."""


def run_json(out: Path) -> dict[str, Any]:
    """run.json of a run that was trained here, in a second or two."""
    words = [
        "model=squeezenet1_1",
        "data=fake",
        "budget.epochs=4",
        "data.images_per_class=8",
        "device=cpu",
        "threads=1",
    ]
    level = ["target.metric=top1", "target.value=0.11", "target.confirm=1", "data.resolution=32", "tracking=none"]
    result = run(compose([*words, *level, f"out={out}"]))
    summary: dict[str, Any] = json.loads((result.folder / "run.json").read_text(encoding="utf-8"))
    return summary


def trend_json(out: Path) -> dict[str, Any]:
    """trend.json of runs that were made up: a ladder, a network that misses, a second plan and a search."""
    known = [Made(m.model, curve_reaching(20, after=6), m.published, m.seed, m.forward_macs) for m in ladder(steps=3)]
    late = [Made("late", [0.3] * 30, day(20), seed, outcome="budget_exhausted") for seed in range(2)]
    plan = Made("alexnet", curve_reaching(15), seed=4, recipe="other")
    search = [
        Made(
            "net1",
            [0.3] * (n - 1) + [0.5 if seed < good else 0.4],
            day(16),
            seed + 10 * n,
            target=None,
            outcome="budget_exhausted",
            kind="search",
            planned_epochs=n,
        )
        for n, good in ((4, 0), (6, 1), (8, 2), (12, 3))
        for seed in range(3)
    ]
    return aggregate.build(write_runs(out, [*known, *late, plan, *search]), draws=100)


def keys(data: Any, path: str = "") -> dict[str, set[str]]:
    """Every key by its path, as `groups[].rows[].cost`, and the kinds of JSON that stand there."""
    found: dict[str, set[str]] = {path: {_kind(data)}} if path else {}
    inside: list[tuple[str, Any]] = []
    if isinstance(data, dict) and not path.endswith(BY_NAME):
        inside = [(f"{path}.{name}" if path else name, value) for name, value in data.items()]
    elif isinstance(data, list):
        inside = [(f"{path}[]", value) for value in data]
    for name, value in inside:
        for key, kinds in keys(value, name).items():
            found.setdefault(key, set()).update(kinds)
    return found


def example(data: Any, path: str = "", seen: set[tuple[str, str]] | None = None) -> Any:
    """The document without the items of its lists that show no key, and no kind of value, that is new."""
    seen = set() if seen is None else seen
    if isinstance(data, dict):
        return {name: example(value, f"{path}.{name}", seen) for name, value in data.items()}
    if not isinstance(data, list):
        return data
    kept = []
    for item in data:
        new = {(key, kind) for key, kinds in keys(item, f"{path}[]").items() for kind in kinds} - seen
        seen |= new
        if new:
            kept.append(example(item, f"{path}[]", set()))
    return kept


def explained(page: Path) -> set[str]:
    """The keys in the first column of a page's tables; those below a heading in backquotes begin with it."""
    found, above = set(), ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"#+ `(.*)`", line):
            above = f"{heading[1]}."
        elif row := re.match(r"\| `(.*?)` \|", line):
            found |= {above + key for key in row[1].split("`, `")}
    return found


def _kind(value: Any) -> str:
    kinds = {bool: "bool", int: "integer", float: "number", str: "text", list: "list", dict: "object"}
    return kinds.get(type(value), "null")


def main() -> None:
    """Write both examples."""
    for name, made in (("run.json", run_json), ("trend.json", trend_json)):
        with tempfile.TemporaryDirectory() as folder:
            text = json.dumps(example(made(Path(folder))), indent=1) + "\n"
        (GOLDEN / name).write_text(text, encoding="utf-8")
        print(f"wrote {(GOLDEN / name).relative_to(ROOT)}")


if __name__ == "__main__":
    main()
