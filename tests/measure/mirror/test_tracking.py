"""The W&B mirror: what its files hold, and that nothing it does reaches the training loop."""

import contextlib
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.measure.mirror import journal as tracking
from harness.measure.mirror import wandb_process as mirror
from harness.measure.mirror.sync import run_options
from harness.paths import ROOT
from harness.record.curve import read_curve
from harness.record.folders.folder import read_run
from tests.measure.mirror.tracked import (
    KEY,
    PATIENCE_SECONDS,
    environment,
    expected_steps,
    options,
    track,
    train,
    until_its_mirror_ends,
)
from tests.measure.mirror.tracked_run import EVALUATE_EVERY, RUN_ID, evaluation
from tests.wandb_file import Segment, read_segment
from tests.wandb_server import wandb_server


def segment_of(folder: Path) -> Segment:
    """The one live offline segment of the run."""
    (path,) = list((folder / "wandb").glob(f"offline-run-*-{RUN_ID}/*.wandb")) or [folder / "absent"]
    if not path.exists():
        raise IndexError
    return read_segment(path)


def check_whole(segment: Segment, folder: Path, last: int) -> None:
    """Every step once, in order; the evaluations those of the record."""
    assert segment.run_id == RUN_ID
    assert segment.steps == expected_steps(last)
    by_step = {row["_step"]: row for row in segment.history}
    curve = read_curve(folder / "run" / "curve.jsonl")
    assert [row.step for row in curve] == [s for s in range(1, last + 1) if s % EVALUATE_EVERY == 0]
    for row in curve:
        mirrored = by_step[row.images]
        assert mirrored["top1"] == row.correct_top1 / row.total
        assert mirrored["spent_pflop"] == pytest.approx(2 * row.train_macs / 1e15, rel=1e-12)
        assert mirrored["step/loss"] == pytest.approx(1 / row.step)


def check_summary(segment: Segment, last: int) -> None:
    final = evaluation(last)
    assert segment.summary["outcome"] == "reached"
    assert segment.summary["total/step"] == last
    assert segment.summary["top1"] == final.correct_top1 / final.total
    # 4 correct per step of 1000: the level 0.3 is crossed at step 75, seen at the evaluation of step 80
    assert segment.summary["crossing/images"] == 800
    assert segment.summary["crossing/after_images"] == 600
    assert segment.summary["cost_to_target_pflop"] == pytest.approx(2 * 80 * 3e13 / 1e15)
    assert segment.summary["cost_to_target_paper_pflop"] == pytest.approx(3 * 80 * 1e13 / 1e15)
    assert set(segment.artifacts[-1]) == {"config.yaml", "provenance.json", "curve.jsonl", "run.json"}


def test_offline_run_holds_every_step_and_the_record(tmp_path: Path) -> None:
    report = track(tmp_path, 1, 100, "finish", env=environment(tmp_path))
    assert "harness sync" in report["said"]
    segment = segment_of(tmp_path)
    check_whole(segment, tmp_path, 100)
    check_summary(segment, 100)
    assert (segment.group, segment.tags, segment.exit_code) == ("digits-small", ["a", "b"], 0)
    assert segment.config["model"] == {"name": "resnet18"}
    assert segment.step_metrics["vs_pflop/*"] == "spent_pflop"
    assert segment.step_metrics["top1"] == "images"


@pytest.mark.parametrize(
    ("ending", "reached_step", "resume_step"),
    [("interrupt", 43, 43), ("vanish", 57, 40), ("vanish_with_mirror", 57, 40)],
    ids=["interrupted", "killed", "killed with its mirror"],
)
def test_resumed_run_has_no_gap_and_no_double(tmp_path: Path, ending: str, reached_step: int, resume_step: int) -> None:
    env = environment(tmp_path)
    track(tmp_path, 1, reached_step, ending, env=env)
    if ending != "vanish_with_mirror":  # also after a SIGKILL of the trainer, its mirror writes what the journal holds
        first = segment_of(tmp_path)
        assert first.steps == expected_steps(reached_step)
        assert first.exit_code == (0 if ending == "interrupt" else 1)
    track(tmp_path, resume_step + 1, 100, "finish", env=env)
    segment = segment_of(tmp_path)
    check_whole(segment, tmp_path, 100)
    check_summary(segment, 100)
    assert len(list((tmp_path / "wandb").glob("superseded-offline-run-*"))) == 1


def test_segments_of_one_second_are_both_set_aside(tmp_path: Path) -> None:
    """W&B names a segment by the second: a run that is stopped and started again within one gives the same name."""
    for content in ("first", "second", "third"):
        segment = tmp_path / "wandb" / f"offline-run-20260101_000000-{RUN_ID}"
        segment.mkdir(parents=True)
        (segment / "run.wandb").write_text(content)
        mirror.set_superseded_aside(tmp_path, RUN_ID)
    kept = sorted((tmp_path / "wandb").glob("superseded-*"))
    assert sorted((folder / "run.wandb").read_text() for folder in kept) == ["first", "second", "third"]
    assert not list((tmp_path / "wandb").glob("offline-run-*"))


def test_lost_journal_is_rebuilt_from_the_curve(tmp_path: Path) -> None:
    env = environment(tmp_path)
    track(tmp_path, 1, 60, "interrupt", env=env)
    tracking.journal_path(tmp_path, RUN_ID).unlink()
    track(tmp_path, 61, 100, "finish", env=env)
    evaluated = [s * 10 for s in (20, 40, 60)]
    assert segment_of(tmp_path).steps == evaluated + [s for s in expected_steps(100) if s > 600]


class _Refusing(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(500)
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def refusing_server() -> Iterator[str]:
    """Answers every request with 500."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("server", [refusing_server, silent_server], ids=["answers 500", "never answers"])
def test_a_broken_server_costs_the_run_nothing(tmp_path: Path, server: Any) -> None:
    with server() as url:
        env = environment(tmp_path, WANDB_API_KEY=KEY, WANDB_BASE_URL=url)
        report = track(tmp_path, 1, 100, "finish", env=env, init_timeout_seconds=2)
    assert report["returncode"] == 0
    assert report["tracker_seconds"] < 2  # below one time-out: nothing waited for the server
    assert "not uploaded yet" in report["said"]
    check_whole(segment_of(tmp_path), tmp_path, 100)  # the mirror gave up and kept everything offline
    check_summary(segment_of(tmp_path), 100)
    holding = [p for p in tmp_path.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert holding == []


def test_tracking_that_cannot_start_leaves_the_run_alone(tmp_path: Path) -> None:
    (tmp_path / "wandb").write_text("a file where the folder should be")
    report = track(tmp_path, 1, 20, "finish", env=environment(tmp_path))
    assert report["returncode"] == 0
    assert "W&B is off for this run" in report["said"]
    assert len(read_curve(tmp_path / "run" / "curve.jsonl")) == 1


def test_other_ranks_do_not_track(tmp_path: Path) -> None:
    tracker = tracking.start(options(tmp_path), run_id=RUN_ID, folder=tmp_path, config={}, resume_images=0, rank=1)
    assert type(tracker) is tracking.Tracker
    assert not (tmp_path / "wandb").exists()


def test_offline_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert mirror.resolve_mode("auto") == "offline"
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai login user password {KEY}\n")
    (tmp_path / "netrc").chmod(0o600)
    assert mirror.resolve_mode("auto") == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert mirror.resolve_mode("auto") == "offline"
    assert mirror.resolve_mode("online") == "online"


def test_record_is_the_same_with_and_without_tracking(tmp_path: Path) -> None:
    """Also the secrets test: a key in the environment, under any name, is in no file of the record or of W&B's."""
    with silent_server() as url:
        secrets = {"WANDB_API_KEY": KEY, "MY_TOKEN": "tok-3b1f0c9d2e", "DATABASE_PASSWORD": "hunter2-hunter2"}
        env = environment(tmp_path, WANDB_BASE_URL=url, **secrets)
        (tmp_path / "watched").mkdir()
        watched = train(
            tmp_path / "watched", "tracking=wandb", f"tracking.dir={tmp_path}", "tracking.init_timeout_seconds=1",
            env=env,
        )  # fmt: skip
        alone = train(tmp_path / "alone", env=env)
        until_its_mirror_ends(tmp_path, watched.name)
    assert (watched / "config.yaml").read_bytes() == (alone / "config.yaml").read_bytes()
    timing = ("train_seconds", "eval_seconds", "data_wait_seconds")
    curves = [
        [{k: v for k, v in json.loads(line).items() if k not in timing} for line in text.splitlines()]
        for text in ((watched / "curve.jsonl").read_text(), (alone / "curve.jsonl").read_text())
    ]
    assert curves[0] == curves[1]
    assert len(curves[0]) == 2
    journal = tracking.merged_rows(tracking.journal_path(tmp_path, watched.name))
    assert [row["images"] for row in journal] == sorted({row["images"] for row in journal})
    said = mirror.read_head(tracking.journal_path(tmp_path, watched.name))["options"]
    assert (said["group"], said["tags"]) == ("fake-small", ["fake", "small", "squeezenet1_1"])
    # a record without a journal goes up under the same words
    from_record = run_options(read_run(watched), tmp_path / "elsewhere", {})
    assert [from_record[k] for k in ("group", "tags", "run_name")] == [said[k] for k in ("group", "tags", "run_name")]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    for secret in secrets.values():
        assert [path for path in files if secret.encode() in path.read_bytes()] == []


def test_sync_without_a_key_says_how_to_get_one(tmp_path: Path) -> None:
    env = environment(tmp_path)
    track(tmp_path, 1, 40, "finish", env=env)
    done = subprocess.run(
        [sys.executable, "-m", "harness", "sync", str(tmp_path / "run")],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "wandb login" in done.stderr


def test_what_wandb_would_refuse_is_refused_and_sync_can_mend_it(tmp_path: Path) -> None:
    """A journal with a tag that is too long, as an older version wrote it, goes up with other tags."""
    track(tmp_path, 1, 40, "finish", env=environment(tmp_path), tags=["x" * 65])
    with wandb_server() as server:
        env = environment(tmp_path, WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url)
        command = [sys.executable, "-m", "harness", "sync", str(tmp_path / "run"), "--dir", str(tmp_path)]
        refused = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert "--tags: W&B takes 1 to 64 characters" in refused.stderr
        mended = subprocess.run(
            [*command, "--tags", "short,paper"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
        )
        assert mended.returncode == 0, mended.stderr
        assert server.run["tags"] == ["short", "paper"]


def test_offline_says_why(tmp_path: Path) -> None:
    assert "kept offline (no key: " in track(tmp_path, 1, 20, "finish", env=environment(tmp_path))["said"]
    env = environment(tmp_path, WANDB_API_KEY=KEY, WANDB_MODE="offline")
    assert "kept offline (as asked)" in track(tmp_path, 1, 20, "finish", env=env)["said"]


def test_disabled_is_quiet(tmp_path: Path) -> None:
    env = environment(tmp_path, WANDB_MODE="disabled")
    assert track(tmp_path, 1, 20, "finish", env=env)["said"] == ""
    assert not (tmp_path / "wandb").exists()


def test_requeued_run_continues_on_the_server(tmp_path: Path) -> None:
    """Online: interrupted, then killed, then finished; the server ends with every step once, in order."""
    with wandb_server() as server:
        env = environment(tmp_path, WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url)
        track(tmp_path, 1, 40, "interrupt", env=env)  # 40 holds an evaluation: the row at the border is completed later
        assert [row["_step"] for row in server.history] == expected_steps(40)[:-1]
        track(tmp_path, 41, 77, "vanish", env=env)
        assert [row["_step"] for row in server.history] == expected_steps(77)[:-1]
        track(tmp_path, 61, 100, "finish", env=env)
        assert [row["_step"] for row in server.history] == expected_steps(100)
        assert server.overwritten == 0
        evaluated = {row["_step"]: row["top1"] for row in server.history if "top1" in row}
        assert evaluated == {e.images: e.correct_top1 / e.total for e in read_curve(tmp_path / "run" / "curve.jsonl")}
        assert server.summary["outcome"] == "reached"
        assert server.summary["crossing/images"] == 800
        assert [a["input"]["artifactCollectionName"] for a in server.artifacts] == [f"record-{RUN_ID}"]
        assert server.run["groupName"] == "digits-small"


def test_sync_uploads_an_offline_resumed_run_once(tmp_path: Path) -> None:
    """`harness sync` twice: the second time there is nothing new, and nothing is doubled."""
    offline = environment(tmp_path)
    track(tmp_path, 1, 43, "interrupt", env=offline)
    track(tmp_path, 44, 100, "finish", env=offline)
    with wandb_server() as server:
        env = environment(tmp_path, WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url)
        command = [sys.executable, "-m", "harness", "sync", str(tmp_path / "run"), "--dir", str(tmp_path)]
        for _ in range(2):
            done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            assert [row["_step"] for row in server.history] == expected_steps(100)
        assert server.overwritten == 0
        assert server.summary["cost_to_target_pflop"] == pytest.approx(2 * 80 * 3e13 / 1e15)
    assert list((tmp_path / "wandb").glob("offline-run-*")) == []  # set aside: `wandb sync` would upload them again


AGENT = {"WANDB_SWEEP_ID": "sweep1", "WANDB_RUN_ID": "agents01", "WANDB_PROJECT": "project", "WANDB_ENTITY": "entity"}
"""What `wandb agent` gives to the command that it starts; it has made the run of that id on the server before."""


def test_an_agents_run_is_ours(tmp_path: Path) -> None:
    """Every row is on the run that the agent waits for, also after a stop; resumed by hand it goes on there."""
    with wandb_server() as server:
        server.run = {"name": "agents01"}
        alone = environment(tmp_path, WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url)
        track(tmp_path, 1, 42, "interrupt", env={**alone, **AGENT}, project="mine")
        assert (server.run["name"], server.run["project"]) == ("agents01", "project")
        assert [row["_step"] for row in server.history] == expected_steps(42)[:-1]
        track(tmp_path, 43, 100, "finish", env=alone)
        assert (server.run["name"], server.run["project"]) == ("agents01", "project")
        assert [row["_step"] for row in server.history] == expected_steps(100)
        assert (server.overwritten, server.summary["outcome"]) == (0, "reached")
        assert json.loads(server.config)["run_id"]["value"] == RUN_ID  # by which the record is found


def test_another_run_of_an_agent_holds_every_row(tmp_path: Path) -> None:
    """An agent that asks once more for a run which was stopped has made another on the server."""
    with wandb_server() as server:
        env = {**environment(tmp_path, WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url), **AGENT}
        track(tmp_path, 1, 42, "interrupt", env=env)
        server.run, server.history, server.summary = {"name": "agents02"}, [], {}
        track(tmp_path, 43, 100, "finish", env={**env, "WANDB_RUN_ID": "agents02"})
        assert server.run["name"] == "agents02"
        assert [row["_step"] for row in server.history] == expected_steps(100)


def test_an_agents_run_that_was_offline_is_synced_there(tmp_path: Path) -> None:
    track(tmp_path, 1, 100, "finish", env={**environment(tmp_path), **AGENT})
    with wandb_server() as server:
        env = environment(tmp_path, WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url)
        command = [sys.executable, "-m", "harness", "sync", str(tmp_path / "run"), "--dir", str(tmp_path)]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        assert done.returncode == 0, done.stderr
        assert (server.run["name"], server.run["project"]) == ("agents01", "project")
        assert [row["_step"] for row in server.history] == expected_steps(100)
    assert list((tmp_path / "wandb").glob("offline-run-*")) == []


def test_an_agent_that_asks_for_a_finished_run_gets_it(tmp_path: Path) -> None:
    """Nothing is trained again, and the agent's run is not one that never began."""
    words = [
        "tracking=wandb",
        f"tracking.dir={tmp_path}",
        "tracking.finish_wait_seconds=300",
        "tracking.init_timeout_seconds=300",
    ]
    folder = train(tmp_path, env=environment(tmp_path))
    sealed = (folder / "run.json").read_bytes()
    with wandb_server() as server:
        server.run = {"name": "agents01"}
        env = {**environment(tmp_path, WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url), **AGENT}
        assert train(tmp_path, *words, env=env) == folder
        until = time.monotonic() + PATIENCE_SECONDS  # nothing was trained, so the mirror may still look for its server
        while time.monotonic() < until and "outcome" not in server.summary:
            time.sleep(0.1)
        evaluated = {row["_step"]: row["top1"] for row in server.history}
        assert evaluated == {row.images: row.correct_top1 / row.total for row in read_curve(folder / "curve.jsonl")}
        assert server.run["name"] == "agents01"
        assert server.summary["outcome"] == json.loads(sealed)["outcome"]
    assert (folder / "run.json").read_bytes() == sealed
