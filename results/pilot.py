"""`make results`: the page of the pilot on Tiny ImageNet, from its committed records.

The rules of the range test stand in conf/experiment/tiny_imagenet_range.yaml.
"""

import json
import math
from collections import defaultdict
from pathlib import Path

import yaml

from harness.analyse.show.templates import environment
from harness.paths import ROOT
from harness.record.files import write_atomic
from harness.record.folders.folder import CONFIG, PROVENANCE, Run, read_runs

FOLDER = ROOT / "results" / "pilots" / "tiny_imagenet"
TEMPLATES = environment(Path(__file__).parent / "templates")
CHANCE = 1 / 20
"""Top-1 of a guess among twenty classes."""


def main(out: Path = FOLDER) -> None:
    """Write README.md; raises RecordError where a record is damaged."""
    page = TEMPLATES.get_template("pilot.md.j2").render(curves=curves(), rates=rates(), commits=commits())
    write_atomic(out / "README.md", page)
    print(f"wrote {out / 'README.md'}")


def curves() -> list[tuple[str, float, int, list[float]]]:
    """Model, rate, seed and top-1 in % after each whole epoch, of every run of the pilot."""
    rows = []
    for run in read_runs(FOLDER / "pilot"):
        whole = [e for e in run.curve if math.isclose(e.epoch, round(e.epoch))]
        rows.append((run.model, rate_of(run), run.seed, [100 * e.correct_top1 / e.total for e in whole]))
    return sorted(rows)


def rates() -> list[tuple[str, int, str, str]]:
    """Model, epochs, correct images of the last two looks at each rate, and what the rule says of them."""
    found: dict[tuple[str, int], dict[float, int]] = defaultdict(dict)
    runs = read_runs(FOLDER / "range")
    for run in runs:
        found[run.model, round(run.curve[-1].epoch)][rate_of(run)] = sum(e.correct_top1 for e in run.curve[-2:])
    images = 2 * max(e.total for run in runs for e in run.curve)
    return [(model, epochs, told(counts), verdict(counts, images)) for (model, epochs), counts in sorted(found.items())]


def verdict(counts: dict[float, int], images: int) -> str:
    """The rule of the range test, applied to correct images (of `images` looked at) at each rate."""
    if len(counts) < 3:
        return "not finished"
    # Both looks see the same images, so that their sum varies by up to twice what one look does.
    noise = 2 * math.sqrt(images / 2 * CHANCE * (1 - CHANCE))
    best = max(counts, key=lambda rate: (counts[rate], -rate))
    if counts[best] <= images * CHANCE + 3 * noise:
        return "at chance at every rate: not decided"
    if best in (min(counts), max(counts)):
        side = "below" if best == min(counts) else "above"
        return f"{best:g} so far: the range goes on {side} it"
    return f"{best:g}"


def told(counts: dict[float, int]) -> str:
    """The counts in the order of their rates."""
    return ", ".join(f"{rate:g}: {count}" for rate, count in sorted(counts.items()))


def rate_of(run: Run) -> float:
    """The learning rate that the run was given."""
    return float(yaml.safe_load((run.path / CONFIG).read_text(encoding="utf-8"))["recipe"]["lr"])


def commits() -> list[str]:
    """The commits that the records name, short."""
    parts = [json.loads((run.path / PROVENANCE).read_bytes())["segments"] for run in read_runs(FOLDER)]
    seen = {segment["commit"] for segments in parts for segment in segments}
    return sorted(commit[:7] for commit in seen)


if __name__ == "__main__":
    main()
