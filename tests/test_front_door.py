"""The two big rooms' front doors: what their READMEs show a notebook runs, and importing them costs nothing."""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import harness.analyse
import harness.measure
from harness.measure.bill.report import row
from harness.paths import ROOT
from harness.record.errors import BadInput, RecordError
from tests.analyse.synthetic import Made, curve_reaching, ladder, write_run, write_runs

DOORS = {"measure": harness.measure, "analyse": harness.analyse}
# A name that is None in sys.modules would do for us, but scipy takes it for a torch that is there.
ABSENT = """\
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "hydra", "omegaconf", "wandb", "fvcore"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
"""


def snippet(room: str) -> str:
    """The Python that the room's README shows."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "harness" / room / "README.md").read_text("utf-8"), re.DOTALL)
    return str(code)


def run(code: str, cwd: Path) -> str:
    """Standard output of a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment(cwd), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def environment(home: Path) -> dict[str, str]:
    """A home of its own; nothing of W&B."""
    return {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")} | {
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }


@pytest.mark.parametrize("room", DOORS)
def test_the_readme_names_every_function_of_the_door(room: str) -> None:
    (imported,) = [node for node in ast.walk(ast.parse(snippet(room))) if isinstance(node, ast.ImportFrom)]
    assert imported.module == f"harness.{room}"
    functions = [name for name, _ in inspect.getmembers(DOORS[room], inspect.isfunction)]
    assert [alias.name for alias in imported.names] == DOORS[room].__all__ == functions
    assert all(getattr(DOORS[room], name).__doc__ for name in functions)


def test_the_measuring_snippet_runs_and_leaves_a_record(tmp_path: Path) -> None:
    bill, lr, outcome = run(snippet("measure"), tmp_path).splitlines()
    alexnet = row("alexnet")
    assert bill.startswith(f"{alexnet['params']} parameters; {alexnet['forward_macs']} MACs forward, ")
    assert float(lr) > 0
    assert outcome.startswith("reached demo/notebook/fake/shufflenet_v2_x1_0/")
    assert (tmp_path / outcome.split()[1] / "run.json").is_file()


def test_the_analysing_snippet_runs_where_torch_hydra_and_wandb_are_absent(tmp_path: Path) -> None:
    (tmp_path / "results").symlink_to(ROOT / "results")
    cheapest, trend = run(ABSENT + snippet("analyse"), tmp_path).splitlines()
    assert re.search(r" [\d.e-]+ PFLOP; [\d.]+ seconds$", cheapest)
    assert re.fullmatch(r"[\d.]+ times less, [\d.]+ months per halving", trend)


def test_importing_the_doors_and_asking_for_help_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = "{'torch', 'hydra', 'omegaconf', 'wandb', 'fvcore', 'numpy', 'yaml', 'matplotlib', 'rich'}"
    loaded = f"print(sorted({heavy} & set(sys.modules)))"
    assert run(f"import sys, harness.measure, harness.analyse; {loaded}", tmp_path) == "[]\n"
    helped = (
        "import sys; from harness.cli import main\ntry: main(['--help'])\nexcept SystemExit as end: assert not end.code"
    )
    assert run(f"{helped}\n{loaded}", tmp_path).splitlines()[-1] == "[]"


def test_a_network_of_ones_own_is_counted() -> None:
    counted = harness.measure.count(torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), resolution=16)
    assert counted.forward_macs == 16 * 16 * 3 * 8 * 3 * 3
    with pytest.raises(BadInput, match="alexnet does not run at 20 pixels"):
        harness.measure.count("alexnet", resolution=20)


def test_a_cost_is_read_at_the_runs_target_or_at_a_level_and_in_a_unit_that_there_is(tmp_path: Path) -> None:
    write_run(tmp_path, Made("alexnet", curve_reaching(3)))
    (trial,) = harness.analyse.read_runs(tmp_path)
    assert harness.analyse.cost_to_target(trial, unit="epochs").at == 3
    assert harness.analyse.cost_to_target(trial, unit="epochs", level=("top1", 0.99)).censored
    with pytest.raises(BadInput, match="use one of paper_pflop"):
        harness.analyse.cost_to_target(trial, unit="dollars")
    with pytest.raises(RecordError, match="no such folder"):
        harness.analyse.read_runs(tmp_path / "nowhere")


def test_runs_that_are_not_comparable_have_no_trend(tmp_path: Path) -> None:
    write_runs(tmp_path, ladder())
    one_group = harness.analyse.read_runs(tmp_path)
    assert harness.analyse.fit_trend(one_group, draws=100)["trend"]["reduction_factor"] == pytest.approx(16, rel=0.01)
    write_run(tmp_path, Made("alexnet", curve_reaching(3), fingerprint="other"))
    with pytest.raises(BadInput, match="2 groups that are not compared"):
        harness.analyse.fit_trend(harness.analyse.read_runs(tmp_path))
