"""Sweeps: which runs the words name, one after the other here, and what is asked of Slurm for them."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import cli
from harness.measure.config.compose import compose, compose_node, run_folder
from harness.measure.config.schema import ResourcesConfig
from harness.measure.sweep import slurm as cluster
from harness.measure.sweep.expand import expand, words_of
from harness.measure.sweep.job import Job
from harness.measure.sweep.slurm import SlurmConfig, parameters, pinned, refusal, slurm_config, submit
from harness.paths import ROOT
from harness.record.errors import EXIT_INTERRUPTED, BadInput
from harness.record.folders.folder import read_runs
from harness.record.folders.sweep import Queued, Submission

FAKE = ["data=fake", "model=squeezenet1_1", "target=none"]


def launcher(*words: str) -> SlurmConfig:
    return slurm_config(compose_node(["hydra/launcher=slurm", *words], with_hydra=True).hydra.launcher)


def job_of(*words: str) -> Job:
    return pinned(Job(list(words), compose(list(words))))


def test_a_sweep_is_every_combination_the_last_varying_fastest() -> None:
    assert expand(["model=a,b", "out=x", "seed=0,1"]) == [
        ["model=a", "out=x", "seed=0"],
        ["model=a", "out=x", "seed=1"],
        ["model=b", "out=x", "seed=0"],
        ["model=b", "out=x", "seed=1"],
    ]
    assert expand(["seed=range(3)"]) == [["seed=0"], ["seed=1"], ["seed=2"]]
    assert expand(["tracking.tags=[a,b]"]) == [["tracking.tags=[a,b]"]]


def test_an_experiment_brings_its_sweep_and_words_of_the_user_win() -> None:
    jobs, node = words_of(["+experiment=remeasure", "seed=5", "hydra/launcher=slurm"], multirun=True)
    assert len(jobs) == 16
    assert node.name == "slurm"
    assert jobs[0] == ["+experiment=remeasure", "seed=5", "model=alexnet"]
    with pytest.raises(BadInput, match="add -m"):
        words_of(["+experiment=remeasure"], multirun=False)


def test_the_ladder_is_table_3_times_three_seeds() -> None:
    jobs, _ = words_of(["+experiment=remeasure"], multirun=True)
    assert len(jobs) == len({tuple(job) for job in jobs}) == 48
    for job in jobs[::3]:
        assert compose([*job, "data.resolution=224"]).model.expected_epochs is not None, job


def test_a_word_that_is_not_hydra_is_bad_input() -> None:
    with pytest.raises(BadInput):
        expand(["seed=[1,"])


def test_a_failing_run_stops_no_other_and_is_told_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seed 1 finds a folder where its curve should be."""
    words = [*FAKE, "budget.epochs=1", "threads=1", "device=cpu", f"out={tmp_path}"]
    blocked = run_folder(compose([*words, "precision=fp32", "seed=1"]))
    (blocked / "curve.jsonl").mkdir(parents=True)
    assert cli.main(["train", "-m", *words, "seed=0,1,2", "--json"]) == 1
    out, err = capsys.readouterr()
    assert "harness: 1 of 3 runs failed:" in err
    assert [summary["seed"] for summary in json.loads(out)] == [0, 2]
    assert sorted(run.seed for run in read_runs(tmp_path)) == [0, 2]


def test_one_wrong_run_keeps_a_sweep_from_starting(tmp_path: Path) -> None:
    assert cli.main(["train", "-m", "data=fake", "model=squeezenet1_1,alexnet", f"out={tmp_path}"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_cap_refuses_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*FAKE, f"out={tmp_path}", "budget.max_gpu_hours=1e-9"]
    assert cli.main(["train", "-m", "seed=0,1", *words]) == 2
    assert "above budget.max_gpu_hours=1e-09" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_detaching_needs_a_cluster() -> None:
    assert cli.main(["train", *FAKE, "--detach"]) == 2


@pytest.mark.parametrize(
    ("gpus", "words", "device", "precision"),
    [
        (1, [], "cuda", "bf16"),
        (0, [], "cpu", "fp32"),
        (4, ["precision=fp16"], "cuda", "fp16"),
        (2, ["device=cpu", "precision=fp32"], "cpu", "fp32"),
    ],
)
def test_auto_is_decided_at_submission(gpus: int, words: list[str], device: str, precision: str) -> None:
    overrides = [*FAKE, f"model.resources.gpus={gpus}", *words]
    job = pinned(Job(overrides, compose(overrides)))
    config = job.config
    assert (config.device, config.precision) == (device, precision)
    again = compose(job.overrides)
    assert run_folder(again) == run_folder(config)
    assert (again.device, again.precision) == (device, precision)


def test_one_task_per_gpu() -> None:
    asked = parameters(ResourcesConfig(gpus=12, cpus_per_gpu=6, memory_gb=33, minutes=90), launcher())
    assert (asked["nodes"], asked["ntasks_per_node"], asked["gpus_per_node"]) == (2, 6, 6)
    assert (asked["cpus_per_task"], asked["mem"], asked["time"]) == (
        6,
        "198GB",
        90,
    )  # 33 GB for each of a node's six GPUs
    assert asked["additional_parameters"] == {"requeue": True}
    assert "--kill-on-bad-exit=1" in asked["srun_args"]
    with pytest.raises(BadInput, match="not divisible"):
        parameters(ResourcesConfig(gpus=9, cpus_per_gpu=1, memory_gb=1, minutes=1), launcher())


def test_site_settings_come_from_the_environment_and_yield_to_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "gpu")
    monkeypatch.setenv("SBATCH_TIMELIMIT", "60")
    resources = ResourcesConfig(gpus=1, cpus_per_gpu=8, memory_gb=32, minutes=2880)
    asked = parameters(resources, launcher("hydra.launcher.partition=long"))
    assert (asked["partition"], asked["time"]) == ("long", 60)
    assert parameters(resources, launcher())["partition"] == "gpu"
    assert "account" not in asked


def test_an_unknown_key_of_the_launcher_is_bad_input() -> None:
    with pytest.raises(BadInput):
        words_of(["hydra/launcher=slurm", "hydra.launcher.partion=x"], multirun=True)


def test_without_slurm_the_launcher_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="squeue does not answer"):
        submit([job_of(*FAKE, f"out={tmp_path}")], launcher())


def test_without_submitit_the_launcher_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "queue", dict)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(BadInput, match=r"pip install -e '\.\[slurm\]'"):
        submit([job_of(*FAKE, f"out={tmp_path}")], launcher())


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            "sbatch: error: invalid partition specified: nope\n"
            "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
            "Try 'sbatch --help' for more information\n",
            "invalid partition specified: nope; Batch job submission failed: Invalid partition name specified",
        ),
        ("sbatch: warning: be quick\nno luck\n", "no luck"),
        ("", "without a word"),
    ],
)
def test_sbatchs_telling_lines_are_shown(told: str, line: str) -> None:
    assert refusal(told) == line


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """The handlers that a fresh process has; earlier tests leave those of their runs."""
    fresh = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGUSR2: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in fresh.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def polls(*live: set[str] | signal.Signals) -> Callable[[], dict[str, Queued]]:
    """A queue that answers with these jobs, one set a poll, or gets a signal when asked; then it is empty."""
    left = list(live)

    def answer() -> dict[str, Queued]:
        first = left.pop(0) if left else set()
        if isinstance(first, signal.Signals):
            os.kill(os.getpid(), first)
            return {"5_0": Queued("RUNNING")}
        return dict.fromkeys(first, Queued("RUNNING"))

    return answer


STARTING = """
import sys
print("up", flush=True)
sys.stdin.readline()
from harness.measure.machine.signals import StopFlag
print(StopFlag().install().signal_name)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_what_slurm_tells_an_element_that_still_starts_is_noticed_later(number: signal.Signals) -> None:
    """With a limit of a minute the warning came before Python's handlers stood, and killed the job."""
    command = [*shlex.split(cluster.PYTHON), "-u", "-c", STARTING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.communicate("go on\n")[0] == f"{number.name}\n"
    assert process.returncode == 0


@pytest.mark.usefixtures("own_handlers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["composing", "submitting", "waiting"])
def test_a_signal_ends_the_waiter_and_leaves_the_jobs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    moment: str,
) -> None:
    submitted = []

    def pin(job: Job) -> Job:
        if moment == "composing":
            os.kill(os.getpid(), number)
        return pinned(job)

    def hand_over(runs: list[Job], _: SlurmConfig) -> list[Submission]:
        if moment == "submitting":
            os.kill(os.getpid(), number)
        submitted.append(Submission("5_0", "x", "squeezenet1_1", 0, []))
        return submitted

    monkeypatch.setattr(cluster, "pinned", pin)
    monkeypatch.setattr(cluster, "submit", hand_over)
    monkeypatch.setattr(cluster, "queue", polls({"5_0"}, number))
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0.0)
    assert cli.main(["train", *FAKE, f"out={tmp_path}", "hydra/launcher=slurm"]) == EXIT_INTERRUPTED
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("harness: ")]
    if moment == "composing":
        assert said == ["harness: interrupted; nothing was submitted"]
    else:
        assert said == ["harness: interrupted; the jobs go on without this terminal"]
    assert len(submitted) == (moment != "composing")


@pytest.mark.usefixtures("own_handlers")
def test_the_waiter_ends_with_the_last_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "submit", lambda *_: [Submission("5_0", "x", "squeezenet1_1", 0, [])])
    monkeypatch.setattr(cluster, "queue", polls({"5_0", "6"}, {"6"}))
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0.0)
    assert cli.main(["train", *FAKE, f"out={tmp_path}", "hydra/launcher=slurm"]) == 1
    assert "no record" in capsys.readouterr().err
