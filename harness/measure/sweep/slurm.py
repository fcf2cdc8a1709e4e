"""Sweeps on Slurm: one job array through submitit, one run an element.

submitit writes the script, submits it and starts `element` (alone.py) in each task. Stopping, saving and requeueing are
the run's own affair (`harness.measure.machine.signals`): the first thing an element does is to replace submitit's
handlers.
"""

import math
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from harness.measure.config.compose import run_folder
from harness.measure.config.schema import Config, ResourcesConfig
from harness.measure.sweep.alone import element
from harness.measure.sweep.job import Job, launcher_config
from harness.record.errors import BadInput
from harness.record.folders.folder import is_finished
from harness.record.folders.sweep import (
    CLIENT_SECONDS,
    SUBMISSIONS,
    Queued,
    Submission,
    alone_at,
    queue,
    read_manifests,
    submitters,
    write_manifest,
)
from harness.record.words import several

POLL_SECONDS = 10.0
DEFAULT_ARRAY_SIZE = 1001
PYTHON = shlex.join(
    [
        sys.executable,
        "-ISc",
        "import os, signal, sys; "
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR2}); "
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])",
    ]
)
"""An element's Python: what Slurm tells it while it still starts waits for `StopFlag`, which requeues it."""
PATIENCE_POLLS = 30
"""So many polls in a row may go unanswered (a restarted controller) before waiting ends; the jobs go on."""


@dataclass
class SlurmConfig:
    """conf/hydra/launcher/slurm.yaml; see there for each key."""

    name: str
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    minutes: Any  # minutes, or what sbatch --time takes; see time_limit
    gpus_per_node: int
    tasks: int | None
    parallel: int
    signal_seconds: int
    setup: list[str]
    extra: dict[str, Any]


def slurm_config(node: DictConfig) -> SlurmConfig:
    """The launcher's node as typed data; raises BadInput in one line."""
    return launcher_config(node, SlurmConfig)


def pinned(job: Job) -> Job:
    """The job with "auto" decided for the cluster.

    A sweep over different GPUs must not train one run in bf16 and the next in fp32, and a run's identity has to be
    known when it is submitted: where GPUs are asked for, auto means cuda and bf16; where none are, cpu and fp32.
    """
    config, gpus = job.config, job.config.model.resources.gpus > 0
    device = config.device if config.device != "auto" else "cuda" if gpus else "cpu"
    precision = config.precision if config.precision != "auto" else "bf16" if gpus else "fp32"
    decided = [f"{key}={value}" for key, value in (("device", device), ("precision", precision))]
    words = [word for word in decided if getattr(config, word.partition("=")[0]) == "auto"]
    return Job([*job.overrides, *words], replace(config, device=device, precision=precision))


def submit(runs: list[Job], slurm: SlurmConfig) -> list[Submission]:
    """Submit what is neither finished nor queued, an array for each set of resources; returns what was submitted.

    `runs` come from `pinned`. Of two that submit at once the second sees what the first did. Raises BadInput where
    squeue does not answer or sbatch refuses.
    """
    root = Path(runs[0].config.out)
    _live(root)  # where there is no cluster no folder is made
    with alone_at(root):
        return _submit(runs, root, slurm)


def _live(root: Path) -> dict[str, Queued]:
    live = queue(submitters(root))
    if live is None:
        raise BadInput("hydra/launcher=slurm: squeue does not answer; is this a login node? else hydra/launcher=local")
    return live


def _submit(runs: list[Job], root: Path, slurm: SlurmConfig) -> list[Submission]:
    live, submitted = _live(root), read_manifests(root)
    wanted: dict[tuple[int, ...], list[Job]] = {}
    finished = queued = 0
    for job in runs:
        config = job.config
        known = submitted.get(_relative(config, root))
        if is_finished(run_folder(config)):
            finished += 1
        elif known is not None and known.job in live:
            queued += 1
        else:
            wanted.setdefault(tuple(vars(config.model.resources).values()), []).append(job)
    print(
        f"{several(len(runs), 'run')}: {finished} finished, {queued} in the queue, "
        f"{len(runs) - finished - queued} to submit",
        file=sys.stderr,
    )
    most = max_array_size()
    submissions: list[Submission] = []
    for group in wanted.values():
        parts = [group[start : start + most] for start in range(0, len(group), most)]
        share = replace(slurm, parallel=max(1, slurm.parallel // len(parts)))
        for part in parts:
            submissions += _submit_array(part, root, share)
    return submissions


def max_array_size() -> int:
    """How many elements one array may have at this site; Slurm's default where it does not say."""
    try:
        done = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=CLIENT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return DEFAULT_ARRAY_SIZE
    match = re.search(r"^MaxArraySize\s*=\s*([1-9]\d*)", done.stdout, flags=re.MULTILINE)
    return int(match[1]) if match else DEFAULT_ARRAY_SIZE


def refusal(told: str) -> str:
    """What of sbatch's words says why: its errors in a line; the last may be the least of them."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    errors = [line.partition("error: ")[2] for line in lines if line.startswith("sbatch: error: ")]
    return "; ".join(dict.fromkeys(errors)) or (lines[-1] if lines else "without a word")


def _submit_array(group: list[Job], root: Path, slurm: SlurmConfig) -> list[Submission]:
    try:
        import submitit
    except ImportError as error:
        raise BadInput("hydra/launcher=slurm needs submitit: pip install -e '.[slurm]'") from error
    executor = submitit.SlurmExecutor(folder=(root / SUBMISSIONS).absolute(), python=PYTHON)
    executor.update_parameters(**parameters(group[0].config.model.resources, slurm))
    try:
        with _submitting():
            jobs = executor.map_array(element, [job.overrides for job in group])
    except submitit.core.utils.FailedJobError as error:
        raise BadInput(f"sbatch refused: {refusal(str(error))}; see slurm/site.env") from error
    submissions = [
        Submission(job.job_id, _relative(one.config, root), one.config.model.name, one.config.seed, one.overrides)
        for job, one in zip(jobs, group, strict=True)
    ]
    write_manifest(root, submissions)
    array = submissions[0].job.partition("_")[0]
    print(
        f"submitted {several(len(submissions), 'run')} as job {array}; logs in {root / SUBMISSIONS}/{array}_*",
        file=sys.stderr,
    )
    return submissions


def parameters(resources: ResourcesConfig, slurm: SlurmConfig) -> dict[str, Any]:
    """submitit's parameters for runs with these resources: one srun task per GPU.

    Raises BadInput where the GPUs do not divide over the nodes.
    """
    tasks = slurm.tasks or max(1, resources.gpus)
    nodes = math.ceil(resources.gpus / slurm.gpus_per_node) or 1
    if resources.gpus % nodes or tasks % nodes:
        raise BadInput(f"model.resources.gpus={resources.gpus}: not divisible over {nodes} nodes; choose a multiple")
    wanted = {
        "job_name": "harness",
        "nodes": nodes,
        "ntasks_per_node": tasks // nodes,
        "gpus_per_node": resources.gpus // nodes or None,
        "cpus_per_task": resources.cpus_per_gpu,
        "mem": f"{math.ceil(resources.memory_gb * max(1, resources.gpus) / nodes)}GB",
        "time": resources.minutes if slurm.minutes is None else time_limit(slurm.minutes),
        "signal_delay_s": slurm.signal_seconds,
        "array_parallelism": slurm.parallel,
        "setup": list(slurm.setup) or None,
        # The first task to exit ends the step. And since Slurm 22.05 srun no longer takes the CPUs from sbatch.
        "srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={resources.cpus_per_gpu}"],
        "additional_parameters": {"requeue": True, **slurm.extra},
    }
    site = {name: getattr(slurm, name) for name in ("partition", "account", "qos", "constraint")}
    return {name: value for name, value in {**wanted, **site}.items() if value is not None} | {"wckey": None}


_TIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<hours>\d+)(?::(?P<minutes>\d+))?(?::(?P<seconds>\d+))?|(?P<plain>\d+(?::\d+){0,2}))"
)


def time_limit(text: object) -> int:
    """Minutes, rounded up, of a time limit as sbatch reads it: 90, 90:00, 24:00:00, 1-0, 1-00:00 or 1-00:00:00.

    Raises BadInput for anything else.
    """
    match = _TIME.fullmatch(str(text))
    if isinstance(text, bool) or match is None:
        raise BadInput(f"hydra.launcher.minutes={text}: give minutes, or as sbatch does 24:00:00 or 1-00:00:00")
    if match["plain"] is None:
        days, hours, minutes, seconds = (int(match[name] or 0) for name in ("days", "hours", "minutes", "seconds"))
    else:
        parts = [int(part) for part in match["plain"].split(":")]
        days, (hours, minutes, seconds) = 0, (parts if len(parts) == 3 else [0, *parts, 0][:3])
    whole = math.ceil(((days * 24 + hours) * 60 + minutes) + seconds / 60)
    if whole == 0:
        raise BadInput(f"hydra.launcher.minutes={text}: it must be above 0, or null for the card's own")
    return whole


def wait(submissions: list[Submission]) -> None:
    """Return when Slurm has none of these jobs any more, whatever became of them. Ctrl-C leaves them running.

    One that can never start is told and not waited for.
    """
    jobs, unanswered = {one.job for one in submissions}, 0
    while unanswered < PATIENCE_POLLS:
        live = queue()
        for job in sorted(job for job in jobs if live is not None and job in live and live[job].never_starts):
            print(f"harness: job {job} never starts: what it depends on has failed; scancel {job}", file=sys.stderr)
            jobs.remove(job)
        if live is not None and not jobs & live.keys():
            return
        unanswered = unanswered + 1 if live is None else 0
        time.sleep(POLL_SECONDS)
    print("squeue has not answered for minutes; the jobs go on without this terminal", file=sys.stderr)


@contextmanager
def _submitting() -> Iterator[None]:
    """An environment without the traces of a job we may be in, but with the site's Slurm."""
    from submitit.helpers import clean_env

    where = os.environ.get("SLURM_CONF")
    with clean_env():
        if where is not None:
            os.environ["SLURM_CONF"] = where
        yield


def _relative(config: Config, root: Path) -> str:
    return str(run_folder(config).relative_to(root))
