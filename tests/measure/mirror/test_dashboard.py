"""`harness dashboard` against a stand-in for W&B: what it sends, and that it changes only what differs."""

import fnmatch
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.measure.mirror.journal import closing_summary, evaluation_row
from harness.measure.mirror.wandb_process import AXES
from harness.paths import ROOT
from tests.measure.mirror.tracked_run import evaluation, summary
from tests.wandb_server import Server, wandb_server

pytest.importorskip("wandb_workspaces", reason="the extra `dashboard` is not installed")
GOLDEN = ROOT / "tests" / "golden" / "dashboard.json"
KEY = "5ec2e7" * 6 + "beef"  # 40 hex digits, the form of a real key


def dashboard(folder: Path, *arguments: str, **extra: str) -> "subprocess.CompletedProcess[str]":
    """The verb in a process of its own, without any W&B setting of the person who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    env = {**kept, "HOME": str(folder), "NETRC": str(folder / "netrc"), "PYTHONPATH": str(ROOT), **extra}
    command = [sys.executable, "-m", "harness", "dashboard", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


def without_ids(value: Any) -> Any:
    """A spec without the words that W&B's client draws by chance."""
    if isinstance(value, dict):
        return {k: without_ids(v) for k, v in value.items() if k not in ("__id__", "id")}
    return [without_ids(item) for item in value] if isinstance(value, list) else value


def sections(server: Server, view: str) -> list[dict[str, Any]]:
    spec: dict[str, Any] = json.loads(server.views[view]["spec"])
    found: list[dict[str, Any]] = spec["section"]["panelBankConfig"]["sections"]
    return found


def named(spec: Any) -> set[str]:
    """Metrics of the runs that a spec draws or lists."""
    found: set[str] = set()
    if isinstance(spec, dict):
        found |= {m for m in spec.get("metrics", []) if isinstance(m, str)}
        found |= {spec[k] for k in ("xAxis", "yAxis") if spec.get(k)} - {"_step"}
        found |= {c for c in spec.get("columnOrder", []) if not c.startswith("run:")}
        found |= {k["key"]["name"] for k in spec.get("keys", [])}
    parts = spec.values() if isinstance(spec, dict) else spec if isinstance(spec, list) else []
    return found.union(*(named(part) for part in parts))


def test_the_dry_run_is_the_golden_spec_and_needs_no_key(tmp_path: Path) -> None:
    done = dashboard(tmp_path, "--dry-run", "--group", "digits-small")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads(GOLDEN.read_text())
    assert dashboard(tmp_path, "--dry-run").stdout.count('"group"') == 0  # all runs: no filter


def test_every_metric_that_is_drawn_is_one_that_runs_have() -> None:
    row = evaluation_row(evaluation(20))
    closing = closing_summary(summary(100), [evaluation(step) for step in range(20, 101, 20)])
    drawn = {name.removeprefix("summary:") for name in named(json.loads(GOLDEN.read_text()))}
    assert {"top1", "spent_pflop", "published_year", "cost_to_target_paper_pflop", "outcome"} < drawn
    assert drawn - set(row) - set(closing) == set()
    assert [closing[f"outcome/{name}"] for name in ("reached", "diverged")] == [1, 0]
    assert [pattern for pattern in AXES if not fnmatch.filter([*row, "step/loss"], pattern)] == []
    assert set(AXES.values()) <= set(row)


def test_it_is_made_once_and_updated_only_where_it_differs(tmp_path: Path) -> None:
    with wandb_server() as server:
        key = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url}

        def call() -> str:
            done = dashboard(tmp_path, "--group", "digits-small", **key)
            assert done.returncode == 0, done.stderr
            return done.stdout.partition(":")[0]

        assert call() == "made"
        ((name, made),) = server.views.items()
        assert (made["entityName"], made["projectName"]) == ("entity", "ai-efficiency")
        assert (made["displayName"], made["type"]) == ("Cost to target: digits-small", "project-view")
        assert without_ids(json.loads(made["spec"])) == json.loads(GOLDEN.read_text())
        assert call() == "unchanged"
        assert server.upserts == 1

        spec = json.loads(made["spec"])
        there = spec["section"]["panelBankConfig"]["sections"]
        untouched = json.dumps(there[2])
        there[0]["panels"].pop()  # somebody removed a panel of ours, added a section and hid a run
        there.insert(1, {**there[1], "name": "mine", "panels": []})
        spec["section"]["runSets"][0]["selections"]["tree"] = ["a-run"]
        server.views[name]["spec"] = json.dumps(spec)
        assert call() == "updated"
        after = sections(server, name)
        wanted = [s["name"] for s in json.loads(GOLDEN.read_text())["section"]["panelBankConfig"]["sections"]]
        assert [s["name"] for s in after] == [wanted[0], "mine", *wanted[1:]]
        assert len(after[0]["panels"]) == 2
        assert without_ids(after[3]) == without_ids(json.loads(untouched))
        assert json.loads(server.views[name]["spec"])["section"]["runSets"][0]["selections"]["tree"] == ["a-run"]
        assert call() == "unchanged"
        assert server.upserts == 2

        absent = dashboard(tmp_path, "--project", "absent", **key)
        assert (absent.returncode, absent.stderr.count("\n")) == (2, 1)
        assert "no project entity/absent: upload a run first" in absent.stderr


def test_without_a_key_or_the_package_one_line_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = dashboard(tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no W&B key found: run `wandb login`" in done.stderr
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    assert cli.main(["dashboard", "--dry-run"]) == 2
    assert capsys.readouterr().err == "harness: wandb-workspaces is not installed: pip install '.[dashboard]'\n"
