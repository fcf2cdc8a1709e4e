"""The mirror before a server that nobody here wrote: what it was sent is what it shows."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.paths import ROOT
from harness.record.curve import Evaluation, read_curve
from tests.browser import CHROMIUM, DRIVER, chromium, requests_made
from tests.measure.mirror.tracked import (
    PATIENCE_SECONDS,
    environment,
    expected_steps,
    track,
    train,
    until_its_mirror_ends,
)
from tests.measure.mirror.tracked_run import RUN_ID
from tests.openwandb import ABSENT, KEY, OpenWandb, openwandb

pytestmark = pytest.mark.skipif(ABSENT, reason="the package openwandb is not installed (the extra dev)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenWandb]:
    with openwandb(tmp_path_factory.mktemp("openwandb")) as running:
        yield running


def online(folder: Path, server: OpenWandb) -> dict[str, str]:
    return environment(folder, WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url)


def top1_by_step(curve: list[Evaluation]) -> dict[int, float]:
    return {row.images: row.correct_top1 / row.total for row in curve}


@pytest.fixture(scope="module")
def live(server: OpenWandb, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real run, mirrored while it trained."""
    folder = tmp_path_factory.mktemp("live")
    options = ["tracking=wandb", "tracking.project=live", f"tracking.dir={folder}", "tracking.init_timeout_seconds=300"]
    record = train(folder, *options, env=online(folder, server))
    until_its_mirror_ends(folder, record.name)
    return record


def test_a_live_run_is_on_the_server_as_in_its_record(server: OpenWandb, live: Path) -> None:
    curve = read_curve(live / "curve.jsonl")
    assert server.history(live.name, "top1") == pytest.approx(top1_by_step(curve))
    seen = server.run(live.name)
    sealed = json.loads((live / "run.json").read_text())
    assert (seen["state"], seen["display_name"]) == ("finished", "squeezenet1_1-seed0")
    assert seen["summary"]["outcome"] == sealed["outcome"]
    assert seen["summary"]["total/images"] == sealed["totals"]["images"]


def test_a_killed_and_resumed_run_has_every_step(server: OpenWandb, tmp_path: Path) -> None:
    """Interrupted, killed, finished. The server counts no lines, so the steps are compared, not their number."""
    env = online(tmp_path, server)
    changes = {"project": "resumed", "init_timeout_seconds": 300}
    track(tmp_path, 1, 40, "interrupt", env=env, **changes)
    track(tmp_path, 41, 77, "vanish", env=env, **changes)
    track(tmp_path, 61, 100, "finish", env=env, **changes)
    assert sorted(server.history(RUN_ID, "images")) == expected_steps(100)
    assert server.history(RUN_ID, "top1") == pytest.approx(top1_by_step(read_curve(tmp_path / "run" / "curve.jsonl")))
    seen = server.run(RUN_ID)
    assert (seen["state"], seen["summary"]["crossing/images"], seen["tags"]) == ("finished", 800, ["a", "b"])


def test_sync_uploads_an_offline_run(server: OpenWandb, tmp_path: Path) -> None:
    folder = train(tmp_path, "tracking=wandb", "seed=7", f"tracking.dir={tmp_path}", env=environment(tmp_path))
    command = [sys.executable, "-m", "harness", "sync", str(folder), "--dir", str(tmp_path), "--project", "synced"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=online(tmp_path, server),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert server.history(folder.name, "top1") == pytest.approx(top1_by_step(read_curve(folder / "curve.jsonl")))
    assert server.run(folder.name)["state"] == "finished"


@pytest.mark.browser
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")
def test_its_page_shows_the_run(server: OpenWandb, live: Path, tmp_path: Path) -> None:
    name, value = server.cookie()
    with chromium(tmp_path / "profile") as driver:
        driver.get(f"{server.url}/login")
        driver.add_cookie({"name": name, "value": value})
        requests_made(driver)  # the browser's own start page
        driver.get(f"{server.url}/runs/default/live/{live.name}")
        shown = driver.page_source
        assert all(request.startswith((server.url, "data:")) for request in requests_made(driver))
    for words in ("squeezenet1_1-seed0", live.name, "top1", "spent_pflop"):
        assert words in shown
