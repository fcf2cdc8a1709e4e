"""The mirror's near side: rows appended to a journal file, and a process of its own that carries them to W&B.

Training never calls wandb. It appends a line to the journal (some ten microseconds) and a detached child
(`harness.measure.mirror.wandb_process`) follows the file. So a dashboard that fails, hangs or is
absent costs the run nothing, and what could not be uploaded is still in the journal and in the record, from where
`harness sync` uploads it later.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import IO, Any

from harness.measure.config.tracking import agents_run, from_environment
from harness.measure.mirror.wandb_process import WHY, credentials_present, read_head, resolve_mode, wandb_id
from harness.paths import ROOT
from harness.record.curve import Evaluation, read_curve
from harness.record.errors import HarnessError
from harness.record.files import write_atomic
from harness.record.folders.folder import CURVE, OUTCOMES
from harness.record.target import METRICS, Target, crossing_of
from harness.record.units import macs_to_pflop, paper_pflop

JOURNALS = "journals"
"""Folder of the journals inside the tracking folder (`wandb/journals/<run_id>.jsonl`)."""


class Tracker:
    """What the training loop sees. The base class is `tracking=none`: it does nothing."""

    def log(self, evaluation: Evaluation) -> None:
        """Mirror one evaluation. Call it once the checkpoint at this evaluation is on disk: it is never taken back."""

    def log_step(self, images: int, metrics: dict[str, float]) -> None:
        """Mirror training metrics at `images` images seen (monotone, also across a requeue)."""

    def finish(self, summary: dict[str, Any], folder: Path) -> None:
        """The run is sealed in `folder`, `summary` is its run.json; returns within `finish_wait_seconds`."""

    def interrupted(self) -> None:
        """The run stops here and resumes later under the same id."""

    def close(self) -> None:
        """Let go; without `finish` or `interrupted` before it, the run counts as failed. Safe to call twice."""


def start(
    options: dict[str, Any], *, run_id: str, folder: Path, config: dict[str, Any], resume_images: int, rank: int = 0
) -> Tracker:
    """The tracker of a run; options: the config group `tracking`.

    resume_images: images seen at the checkpoint the run resumes from, 0 for a fresh start. Metrics that an earlier
    attempt logged beyond it are dropped, for they are measured again. Only rank 0 of a distributed run tracks.
    On W&B a run's id is its own, or that of the agent which started it; resumed by hand it keeps that one.
    """
    if options["name"] == "none" or rank != 0 or resolve_mode(options["mode"]) == "disabled":
        return Tracker()
    curve = folder / CURVE
    evaluations = read_curve(curve) if resume_images and curve.exists() else []
    if agents_run() is not None:  # W&B then takes no other project than the sweep's
        options = options | {name: value for name, value in from_environment().items() if name in ("project", "entity")}
    path = journal_path(Path(options["dir"]), run_id)
    try:
        begin_journal(path, run_id=run_id, options=options, config=config, evaluations=evaluations, until=resume_images)
        return JournalTracker(path, options)
    except (OSError, HarnessError) as error:
        _say(f"W&B is off for this run: {error}")
        return Tracker()


class JournalTracker(Tracker):
    """Appends to a journal that a mirror process follows.

    mirror: that process; states: the pipe on which it says what became of it, None once closed.
    """

    def __init__(self, path: Path, options: dict[str, Any]) -> None:
        self.path = path
        self.finish_wait_seconds = float(options["finish_wait_seconds"])
        self._mode = resolve_mode(options["mode"])
        self._why = "as asked" if credentials_present() else "no key: `wandb login` or WANDB_API_KEY"
        self._file: IO[str] | None = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        self.states: int | None
        self.mirror, self.states = _spawn_mirror(path, self._mode)

    def log(self, evaluation: Evaluation) -> None:
        self._append({"images": evaluation.images, "row": evaluation_row(evaluation)})

    def log_step(self, images: int, metrics: dict[str, float]) -> None:
        self._append({"images": images, "row": {"images": images, **{f"step/{k}": v for k, v in metrics.items()}}})

    def finish(self, summary: dict[str, Any], folder: Path) -> None:
        evaluations = read_curve(folder / CURVE)
        self._append({"finish": closing_summary(summary, evaluations), "folder": str(folder.resolve())})
        self._hang_up()
        state = self._wait()
        self.close()
        if state == "offline":
            _say(f"W&B: kept offline ({self._why}); `harness sync {folder}` uploads it")
        elif state != "online":
            _say(f"W&B: not uploaded yet ({state}); `harness sync {folder}` uploads it from the record")

    def interrupted(self) -> None:
        self._append({"interrupted": True})
        self.close()

    def close(self) -> None:
        self._hang_up()
        if self.states is not None:
            os.close(self.states)
        self.states = None

    def _append(self, line: dict[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(line) + "\n")
        except OSError as error:
            self._file = None  # the record goes on without its mirror; `harness sync` rebuilds it from the curve
            _say(f"W&B is off from here on: cannot write {self.path}: {error.strerror}")

    def _hang_up(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None
        if self.mirror.stdin is not None:
            self.mirror.stdin.close()

    def _wait(self) -> str:
        """The mirror's last state: "starting", "offline", "online" or a reason of failure.

        A mirror that has a connection, or needs none, gets `finish_wait_seconds` to say that it is done, because a
        cluster kills it with the job. One that is still looking for its server is left alone: it ends by itself.
        """
        assert self.states is not None
        deadline = time.monotonic() + self.finish_wait_seconds
        state, text = "offline" if self._mode == "offline" else "starting", b""
        while True:
            patience = deadline - time.monotonic() if state in ("offline", "online") else 0.0
            if not select.select([self.states], [], [], max(0.0, patience))[0]:
                return "still uploading" if state == "online" else state
            chunk = os.read(self.states, 65536)
            if not chunk:
                return state if state.startswith("failed") else f"the mirror ended early, see {self.path.stem}.log"
            text += chunk
            for line in text.split(b"\n")[:-1]:
                word = line.decode(errors="replace")
                if word.startswith(WHY):
                    self._why = word.removeprefix(WHY)
                    continue
                if word == "done":
                    return state
                state = word
            text = text.rpartition(b"\n")[2]


def _spawn_mirror(path: Path, mode: str) -> "tuple[subprocess.Popen[bytes], int]":
    """The mirror and the reading end of its pipe.

    It runs in a session of its own (a Ctrl-C or a scheduler's signal to the job's group does not reach it) and gives
    way to training on a busy processor. Whatever it prints goes to its log.
    """
    reading, writing = os.pipe()
    search_path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        with open(path.with_suffix(".log"), "ab") as log:
            mirror = subprocess.Popen(
                ["nice", "-n", "10", sys.executable, "-m", "harness.measure.mirror.wandb_process"]
                + [str(path), str(os.getpid()), str(writing), mode],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(writing,),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(search_path)},
            )
    finally:
        os.close(writing)
    return mirror, reading


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def journal_path(tracking_dir: Path, run_id: str) -> Path:
    """Where the journal of a run lies, next to wandb's own folders."""
    return tracking_dir / "wandb" / JOURNALS / f"{run_id}.jsonl"


def begin_journal(
    path: Path,
    *,
    run_id: str,
    options: dict[str, Any],
    config: dict[str, Any],
    evaluations: Iterable[Evaluation],
    until: int,
) -> None:
    """Write a journal's head and what of an earlier attempt stays true: rows up to `until` images.

    The record's curve is the source for evaluations, so a journal that was lost is rebuilt from it.
    """
    rows = {row["images"]: dict(row["row"]) for row in merged_rows(path) if row["images"] <= until}
    for evaluation in evaluations:
        if evaluation.images <= until:
            rows.setdefault(evaluation.images, {}).update(evaluation_row(evaluation))
    shown_as = agents_run() or (wandb_id(read_head(path)) if path.exists() else run_id)
    head = {"head": {"run_id": run_id, "wandb_id": shown_as, "options": options, "config": config}}
    lines = [head, *({"images": images, "row": rows[images]} for images in sorted(rows))]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "".join(json.dumps(line) + "\n" for line in lines))


def merged_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a journal, those at equal images merged; [] where there is none. A torn last line is left out."""
    rows: dict[int, dict[str, Any]] = {}
    if not path.exists():
        return []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # torn by a crash
        if "row" in line:
            rows.setdefault(line["images"], {}).update(line["row"])
    return [{"images": images, "row": rows[images]} for images in sorted(rows)]


def evaluation_row(evaluation: Evaluation) -> dict[str, float]:
    """What W&B shows of one evaluation. PFLOP are true ones (2 per MAC); the study's unit stands beside them."""
    row: dict[str, float] = {
        "images": evaluation.images,
        "epoch": evaluation.epoch,
        "spent_pflop": macs_to_pflop(evaluation.train_macs),
        "paper_pflop": paper_pflop(evaluation.train_forward_macs),
        "ledger/evaluation_pflop": macs_to_pflop(evaluation.evaluation_macs),
        "ledger/lost_pflop": macs_to_pflop(evaluation.lost_macs),
    }
    watched = {
        "lr": evaluation.lr,
        "seconds/train": evaluation.train_seconds,
        "seconds/evaluation": evaluation.eval_seconds,
        "seconds/data_wait": evaluation.data_wait_seconds,
        "energy_joules": evaluation.energy_joules,
    }
    row |= {name: value for name, value in watched.items() if value is not None}
    counted = [metric for metric in METRICS if evaluation.judged(metric)]
    measured = {metric: evaluation.correct(metric) / evaluation.total for metric in counted}
    if evaluation.loss is not None:
        measured["train_loss"] = evaluation.loss
    row |= measured | {f"vs_pflop/{name}": value for name, value in measured.items()}
    if evaluation.train_seconds and evaluation.data_wait_seconds is not None:
        row["images_per_second"] = evaluation.images / evaluation.train_seconds
        row["data_wait_share"] = evaluation.data_wait_seconds / evaluation.train_seconds
    if evaluation.live_correct_top1 is not None and evaluation.live_correct_top5 is not None:
        row["live/top1"] = evaluation.live_correct_top1 / evaluation.total
        row["live/top5"] = evaluation.live_correct_top5 / evaluation.total
    return row


def closing_summary(summary: dict[str, Any], evaluations: list[Evaluation]) -> dict[str, Any]:
    """The summary of a finished run: outcome, totals, and the crossing with its cost, read off the curve."""
    published = date.fromisoformat(summary["published"])
    flat: dict[str, Any] = {
        "outcome": summary["outcome"],
        **{f"outcome/{name}": int(name == summary["outcome"]) for name in OUTCOMES},  # a dashboard adds them up
        "hardware": summary["hardware"],
        "published_year": published.year + (published.timetuple().tm_yday - 1) / 365.25,  # the x of the trend
    }
    flat |= {f"total/{name}": value for name, value in summary["totals"].items()}
    if evaluations:
        flat |= evaluation_row(evaluations[-1])
    if summary["target"] is not None:
        level = Target.from_dict(summary["target"])
        flat |= {"target/metric": level.metric, "target/value": level.value}
        index = crossing_of(evaluations, level.metric, level.value, level.confirm)
        if index is not None:
            crossing = evaluations[index]
            before = max((e.images for e in evaluations if e.images < crossing.images), default=0)
            flat |= {
                "crossing/epoch": crossing.epoch,
                "crossing/images": crossing.images,
                "crossing/after_images": before,
                "cost_to_target_pflop": macs_to_pflop(crossing.train_macs),
                "cost_to_target_paper_pflop": paper_pflop(crossing.train_forward_macs),
            }
    return flat
