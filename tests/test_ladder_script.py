"""slurm/gpu_ladder.sh at toy size on the CPU: level, ladder, tables and an archive that unpacks to records."""

import os
import subprocess
import tarfile
from pathlib import Path

from harness import cli
from harness.paths import ROOT
from tests import forked

TOY = [
    *("device=cpu", "precision=fp32", "cuda_graph=false", "threads=1", "data=fake", "data.resolution=64"),
    *("budget.epochs=1", "recipe.batch_size=40", "evaluations_per_epoch=1"),
    *("checkpoint_at_evaluations=false", "fused_optimizer=true"),
]


def ladder(out: Path, *overrides: str, minutes: int) -> subprocess.CompletedProcess[str]:
    harness, environment = forked.command("-m", "harness")
    environment |= {
        "OUT": str(out), "MINUTES": str(minutes), "CALIBRATION": "0", "SEEDS": "1", "MODELS": "shufflenet_v2_x1_0",
        "HARNESS": harness,
    }  # fmt: skip
    return subprocess.run(
        ["slurm/gpu_ladder.sh", *overrides], cwd=ROOT, env=os.environ | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


LEVEL = "metric: top1\nvalue: 0.15\nsplit: validation\nsource: chosen by hand for tests\n"
"""So short a plan leaves AlexNet at chance, and a level of chance is refused: this one is frozen beforehand."""


def test_it_measures_packs_and_does_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "target.yaml").write_text(LEVEL)
    done = ladder(tmp_path / "runs", *TOY, minutes=30)
    assert done.returncode == 0, done.stderr
    assert "3 runs" in done.stdout
    assert (tmp_path / "runs" / "tables" / "TABLE.md").exists()
    with tarfile.open(tmp_path / "runs" / "records.tar.gz") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert sorted(p.parent.parent.name for p in (tmp_path / "unpacked").rglob("run.json")) == [
        "alexnet",
        "alexnet",
        "shufflenet_v2_x1_0",
    ]
    assert cli.main(["check", str(tmp_path / "unpacked")]) == 0
    again = ladder(tmp_path / "runs", *TOY, minutes=30)
    assert again.returncode == 0
    assert again.stderr.count("finished already") == 3
    assert (tmp_path / "runs" / "target.yaml").read_text() == LEVEL


def test_without_time_it_stops_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    done = ladder(tmp_path / "runs", *TOY, minutes=0)
    assert done.returncode == 75
    assert "start again" in done.stderr
    assert "0 runs" in done.stdout
