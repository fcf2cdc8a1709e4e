"""The wheel is whole: installed elsewhere, away from the repository, it counts, replays, plans and trains."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from harness.paths import ROOT

MAIN = """
import contextlib, io, json, sys
import harness.cli
assert sys.argv[1] in harness.__file__, "the repository's own code ran"
said = []
for words in json.loads(sys.argv[2]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert harness.cli.main(words) == 0, words
    said.append(out.getvalue())
print(json.dumps(said))
"""
"""Verbs one after the other in one process, which imports torch once."""

TRAIN = ["train", "model=mobilenet_v1", "data=fake", "target=none", "budget.epochs=1", "device=cpu", "threads=1"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of the tracked files in it, unpacked as an installer does."""
    work = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.split("\0"):
        if name.startswith(("harness/", "models/", "conf/", "results/published/")) or name in {
            "pyproject.toml",
            "README.md",
        }:
            copy = work / "source" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())
    build = "from setuptools import build_meta; print(build_meta.build_wheel('..'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=work / "source", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work / "site")
    return work / "site"


def harness(site: Path, cwd: Path, *verbs: list[str]) -> list[str]:
    """Standard output of each verb, run from the installed package alone."""
    # -P keeps the working folder off the path
    done = subprocess.run(
        [sys.executable, "-P", "-c", MAIN, str(site), json.dumps(verbs)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site), "HOME": str(cwd)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return list(json.loads(done.stdout))


def test_the_wheel_has_only_one_name_of_its_own(installed: Path) -> None:
    tops = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"harness"}, "a top-level name such as models would collide with others'"


def test_it_counts_and_replays(installed: Path, tmp_path: Path) -> None:
    counted, replayed = harness(installed, tmp_path, ["count", "alexnet", "--json"], ["replay"])
    (row,) = json.loads(counted)
    assert row["model"] == "alexnet"
    assert "44.4" in replayed


def test_it_prints_the_config_with_and_without_hydras_own_word(installed: Path, tmp_path: Path) -> None:
    words = ["model=mobilenet_v1", "data=fake"]
    forms = [["train", "--cfg", *words], ["train", "--cfg", "job", *words], ["train", *words, "--cfg", "job"]]
    printed, *with_the_word = harness(installed, tmp_path, *forms)
    config = yaml.safe_load(printed)
    assert (config["model"]["name"], config["data"]["name"]) == ("mobilenet_v1", "fake")
    assert with_the_word == [printed] * 2
    assert [path.name for path in tmp_path.iterdir()] == []


def test_it_trains_and_reads_its_record(installed: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    harness(installed, tmp_path, [*TRAIN, f"out={runs}"], ["status", str(runs)])
    (record,) = runs.rglob("run.json")
    assert json.loads(record.read_text())["model"] == "mobilenet_v1"
    assert json.loads((record.parent / "provenance.json").read_text())["segments"][0]["commit"] is None
