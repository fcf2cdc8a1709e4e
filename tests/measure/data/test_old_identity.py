"""A record from before image sets had one identity in every layout is read, audited and shown, and stands apart.

tests/golden/identity1 holds one, trained by this project as it was then on the very images that `colours` writes.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.analyse.evidence.runs.run import read_records
from harness.paths import ROOT
from harness.record.folders.folder import CONFIG, CURVE, PROVENANCE, RUN, read_run, seal

OLD = ROOT / "tests" / "golden" / "identity1"
SIDE = 64
SETTINGS = (
    "model=squeezenet1_1",
    "data=imagenet",
    f"data.resolution={SIDE}",
    "data.workers=0",
    "target.metric=top1",
    "target.value=0.6",
    "target.split=validation",
    "budget.epochs=8",
    "recipe.batch_size=3",
    "recipe.lr=0.01",
    "recipe.warmup_epochs=0",
    "recipe.schedule=constant",
    "evaluations_per_epoch=1",
)
HERE = ("device=cpu", "threads=1", "tracking=none")


def colours(root: Path) -> Path:
    """18 and 9 images, each of one colour, in a format whose bytes no encoder chooses."""
    for split, images in (("train", 6), ("val", 3)):
        for label, name in enumerate(("blue", "green", "red")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(images):
                pixel = [30 + 5 * i] * 3
                pixel[2 - label] = 150 + 15 * i + (split == "val") * 7
                path = folder / f"{name}_{split}_{i}.ppm"
                path.write_bytes(b"P6 %d %d 255\n" % (SIDE, SIDE) + bytes(pixel) * SIDE * SIDE)
    return root


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of today on the images of the old record."""
    place = tmp_path_factory.mktemp("new")
    given = [*SETTINGS, *HERE, f"data.root={colours(place / 'images')}", f"out={place / 'runs'}"]
    assert cli.main(["train", *given]) == 0
    (summary,) = (place / "runs").rglob(RUN)
    return summary.parent


def groups_of(root: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert cli.main(["aggregate", str(root), "--json", "--draws", "50"]) == 0
    groups: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["groups"]
    return groups


def test_it_passes_the_audit_and_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(OLD)]) == 0
    (group,) = groups_of(OLD, capsys)
    assert [(row["model"], row["reached"], row["epochs"]) for row in group["rows"]] == [("squeezenet1_1", 1, 3.0)]
    page = tmp_path / "page.html"
    assert cli.main(["report", str(OLD), "--draws", "50", "--out", str(page)]) == 0
    (trial,) = read_records(OLD).runs
    assert trial.dataset.fingerprint in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("protocol", [None, 1], ids=["as it is", "were the protocol the same"])
def test_the_same_images_today_are_another_set_and_no_table_mixes_them(
    new: Path, tmp_path: Path, protocol: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    both = tmp_path / "both"
    (old_folder,) = (path.parent for path in OLD.rglob(RUN))
    for folder in (old_folder, new):
        shutil.copytree(folder, both / folder.name, ignore=lambda _, names: {*names} - {CONFIG, CURVE, PROVENANCE, RUN})
    old, run = read_run(both / old_folder.name), read_run(both / new.name)
    assert (old.summary["protocol_version"], run.summary["protocol_version"]) == (1, 2)
    told = [{k: v for k, v in r.summary["dataset"].items() if k not in ("fingerprint", "notes")} for r in (old, run)]
    assert told[0] == told[1]
    if protocol is not None:
        target = {k: v for k, v in run.summary["target"].items() if k in old.summary["target"]}
        changed = {k: v for k, v in run.summary.items() if k not in ("sha256", "self_sha256", "unconfirmed")}
        seal(run.path, changed | {"protocol_version": protocol, "target": target})
    groups = groups_of(both, capsys)
    assert [[row["runs"] for row in group["rows"]] for group in groups] in (
        [[[old.path.name]], [[run.path.name]]],
        [[[run.path.name]], [[old.path.name]]],
    )
    assert len({group["key"] for group in groups}) == len({group["dataset"]["fingerprint"] for group in groups}) == 2
    for group in groups:
        (other,) = {g["dataset"]["fingerprint"] for g in groups} - {group["dataset"]["fingerprint"]}
        assert any(other[:12] in note and "not compared" in note for note in group["notes"])
