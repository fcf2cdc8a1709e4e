"""The mirror's far side: follows a journal and repeats it to W&B. Only this and `dashboard.py` import wandb.

Runs as a process of its own, started by `harness.measure.mirror.journal`. Standard input is a pipe from the trainer
whose end means that the trainer has ended; a second pipe tells the trainer the state in single words.

W&B cannot resume an offline run: a second offline run of the same id starts again at step 0, and uploading both makes
one overwrite the other. So every offline segment written here is complete from the first image on, and the segments it
supersedes are set aside (`superseded-offline-run-*`), where `wandb sync` does not find them. Online, the server says
where it stands and only what is newer is sent.
"""

import contextlib
import fcntl
import itertools
import json
import netrc
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.measure.config.tracking import MODES_OF_WANDB
from harness.record.folders.folder import CONFIG, CURVE, PROVENANCE, RUN

POLL_SECONDS = 1.0
AXES = {
    "vs_pflop/*": "spent_pflop",
    "top1": "images",
    "top5": "images",
    "train_loss": "images",
    "images_per_second": "images",
    "data_wait_share": "images",
    "step/*": "images",
}
"""Which metric is drawn against which; the step itself is images seen."""


WHY = "why: "
"""Begins the word that tells the trainer why nothing is uploaded."""

KEYS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")

Tell = Callable[[str], None]


def credentials_present() -> bool:
    """True when W&B would find a key without asking: in the environment or in netrc, where `wandb login` puts it."""
    if any(os.environ.get(name) for name in KEYS):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).netloc
    try:
        return netrc.netrc(os.environ.get("NETRC") or os.path.expanduser("~/.netrc")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def resolve_mode(mode: str) -> str:
    """ "auto" becomes what WANDB_MODE says, else online where a key is found and offline where none is."""
    if mode != "auto":
        return mode
    asked = os.environ.get("WANDB_MODE")
    return MODES_OF_WANDB.get(asked, asked) if asked else ("online" if credentials_present() else "offline")


def open_run(head: dict[str, Any], *, mode: str, trainer_pid: int | None) -> Any:
    """A wandb run under our own id or an agent's. Raises what wandb raises when a server cannot be reached in time."""
    import wandb

    options = head["options"]
    return wandb.init(
        mode=mode,  # type: ignore[arg-type]
        id=wandb_id(head),
        resume="allow" if mode == "online" else None,
        project=options["project"],
        entity=options["entity"],
        group=options["group"],
        name=options["run_name"],
        tags=options["tags"],
        dir=options["dir"],
        config={**head["config"], "run_id": head["run_id"]},
        settings=wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            disable_job_creation=True,
            x_disable_meta=True,  # the record's provenance is the allow-list; no host name, user or command line
            x_save_requirements=False,
            x_disable_stats=not options["system_metrics"] or trainer_pid is None,
            x_stats_pid=trainer_pid or os.getpid(),
            init_timeout=float(options["init_timeout_seconds"]),
            finish_timeout=float(options["finish_limit_seconds"]),
        ),
    )


def repeat(run: Any, lines: Iterator[dict[str, Any]]) -> None:
    """Log every row newer than what the run already holds, rows at equal images as one; then summary and record."""
    for name in ("images", "spent_pflop"):
        run.define_metric(name)
    for pattern, axis in AXES.items():
        run.define_metric(pattern, step_metric=axis)
    first_free_step = run.starting_step
    held: tuple[int, dict[str, Any]] | None = None
    exit_code = 1  # the trainer vanished without a word
    for line in lines:
        if "row" in line:
            images = line["images"]
            if held and held[0] != images:
                _log(run, held, first_free_step)
                held = None
            held = (images, {**(held[1] if held else {}), **line["row"]})
        elif "finish" in line:
            exit_code = 0
            if held:
                _log(run, held, first_free_step)
            held = None
            run.summary.update(line["finish"])
            try:
                _attach_record(run, Path(line["folder"]))
            except Exception:  # noqa: BLE001 - the rows are up; a refused artifact must not take them back
                traceback.print_exc()
        elif "interrupted" in line:
            exit_code = 0
            run.mark_preempting()
    # Online, a row at the point of interruption may be completed after the resume, and a step sent cannot be changed:
    # it stays in the journal. An offline segment stands alone, so it takes the row.
    if held and run.offline:
        _log(run, held, first_free_step)
    run.finish(exit_code=exit_code)


def _log(run: Any, held: tuple[int, dict[str, Any]], first_free_step: int) -> None:
    images, row = held
    if images >= first_free_step:
        run.log(row, step=images)


def _attach_record(run: Any, folder: Path) -> None:
    import wandb

    artifact = wandb.Artifact(f"record-{run.id}", type="run-record")
    for name in (CONFIG, PROVENANCE, CURVE, RUN):
        artifact.add_file(str(folder / name), name=name, policy="immutable")  # sealed, so no copy is staged
    run.log_artifact(artifact)


def follow(path: Path, ended: Callable[[float], bool]) -> Iterator[dict[str, Any]]:
    """The journal's lines as they are written; stops once `ended(seconds)`, which also waits, says so."""
    with open(path, encoding="utf-8") as file:
        part = ""
        last_round = False
        while True:
            for text in file:
                part += text
                if part.endswith("\n"):
                    yield json.loads(part)
                    part = ""
            if last_round:
                return
            last_round = ended(POLL_SECONDS)


def set_superseded_aside(tracking_dir: Path, run_id: str) -> None:
    """Rename earlier offline segments of this run, all of whose rows a new segment repeats."""
    for old in (tracking_dir / "wandb").glob(f"offline-run-*-{run_id}"):
        aside = old.with_name(f"superseded-{old.name}")
        for other in itertools.count(2):  # wandb names segments by the second: two of one second have one name
            if not aside.exists():
                break
            aside = old.with_name(f"superseded-{other}-{old.name}")
        old.rename(aside)


def read_head(path: Path) -> dict[str, Any]:
    """The first line of a journal: run id, options, config."""
    with open(path, encoding="utf-8") as file:
        head: dict[str, Any] = json.loads(file.readline())["head"]
    return head


def wandb_id(head: dict[str, Any]) -> str:
    """The run's id on W&B. A journal of before agents were heard has our own alone."""
    return str(head.get("wandb_id", head["run_id"]))


def mirror(path: Path, *, mode: str, trainer_pid: int, ended: Callable[[float], bool], tell: Tell) -> None:
    """Repeat a journal, following it until `ended`; raises what wandb raises when a server cannot be reached."""
    head = read_head(path)
    if mode != "online":
        tell(mode)
        set_superseded_aside(Path(head["options"]["dir"]), wandb_id(head))
    run = open_run(head, mode=mode, trainer_pid=trainer_pid)
    tell(mode)
    repeat(run, follow(path, ended))
    tell("done")


def upload(path: Path) -> None:
    """Send a finished journal online, in this process; raises what wandb raises when the server refuses."""
    head = read_head(path)
    repeat(open_run(head, mode="online", trainer_pid=None), follow(path, lambda _seconds: True))
    set_superseded_aside(Path(head["options"]["dir"]), wandb_id(head))


def main() -> None:
    """Entry point of the process; every failure ends in its log file, never in the trainer.

    Arguments: journal, the trainer's process id, the descriptor of its pipe, the mode.
    """
    path, trainer_pid, channel, mode = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # the end of the pipe is the only way to stop: rows are still to be sent
    ended = _until_pipe_closes(path, trainer_pid)

    def tell(word: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # the trainer is gone; nobody to tell
            os.write(channel, f"{word}\n".encode())

    with open(path.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        if sys.argv[5:] != ["locked"]:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the mirror of an earlier attempt may still be sending
            os.set_inheritable(lock.fileno(), True)  # held across the exec below
        try:
            mirror(path, mode=mode, trainer_pid=trainer_pid, ended=ended, tell=tell)
        except Exception as error:
            if mode == "online":
                traceback.print_exc()
                tell(f"{WHY}{(str(error).strip() or type(error).__name__).splitlines()[0][:200]}")
                _start_again_offline()
            tell(f"failed: {type(error).__name__}")
            raise
        os._exit(0)  # wandb's exit hooks wait for the network once more


def _start_again_offline() -> None:
    """Replace this process by one that has never heard of a server: the offline segment holds the same rows."""
    import wandb

    wandb.teardown()
    environment = {name: value for name, value in os.environ.items() if name not in KEYS}
    arguments = [sys.executable, "-m", "harness.measure.mirror.wandb_process", *sys.argv[1:4], "offline", "locked"]
    os.execve(sys.executable, arguments, environment)


def _until_pipe_closes(path: Path, trainer_pid: int) -> Callable[[float], bool]:
    """A function that waits some seconds and says whether the trainer has ended."""
    end_of_trainer = threading.Event()

    def ended(seconds: float) -> bool:
        if end_of_trainer.is_set():
            return True
        closed = bool(select.select([0], [], [], seconds)[0]) and not os.read(0, 4096)
        if closed or os.getppid() != trainer_pid:  # a data loader's worker may hold the pipe of a killed trainer open
            end_of_trainer.set()
            limit = float(read_head(path)["options"]["finish_limit_seconds"])
            stop = threading.Timer(limit, os._exit, (1,))  # a server that stalls does not keep a process for ever
            stop.daemon = True
            stop.start()
        return end_of_trainer.is_set()

    return ended


if __name__ == "__main__":
    main()
