"""The words of a command line: commas, paths as typed, Hydra's own words, sweeps of sweeps, each named run once."""

from pathlib import Path

import pytest

from harness import cli
from harness.measure.config.compose import compose, options
from harness.measure.sweep.expand import jobs_of, words_of
from harness.measure.sweep.slurm import slurm_config, time_limit
from harness.record.errors import BadInput
from harness.record.folders.folder import read_runs
from tests import forked

FAKE = ["data=fake", "model=squeezenet1_1", "target=none", "device=cpu", "precision=fp32", "threads=1"]
ODD = ["a b", "Übung", "it's", "k=v", "#1", "a(b)", "[x]", "{y}", "tail\\", "1e5", "%s", "a;b", "null", "~x", "$HOME"]
"""Names of folders as people have them; none is a home folder."""


def test_a_comma_in_an_option_of_the_launcher_is_sbatchs() -> None:
    words = ["hydra/launcher=slurm", "hydra.launcher.partition=low,high", "+hydra.launcher.extra.exclude=n1,n[3-4]"]
    jobs, node = words_of([*FAKE, "seed=0,1", *words], multirun=True)
    assert len(jobs) == 2
    config = slurm_config(node)
    assert (config.partition, config.extra) == ("low,high", {"exclude": "n1,n[3-4]"})
    (job,), node = words_of([*FAKE, *words], multirun=False)
    assert node.partition == "low,high"
    assert job == FAKE
    with pytest.raises(BadInput, match="a sweep runs in one place"):
        words_of(["hydra/launcher=slurm,local"], multirun=True)


@pytest.mark.parametrize("twice", [["seed=1,1"], ["seed=1", "recipe.lr=0.1,0.10"], ["seed=1", "threads=1,2"]])
def test_a_run_named_twice_is_done_once(twice: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in FAKE if word != "threads=1"]
    jobs, _ = jobs_of([*words, *twice], multirun=True)
    assert len(jobs) == 1
    assert capsys.readouterr().err == "harness: 1 of 2 runs are named twice; each is done once\n"


def test_two_experiments_are_both_their_sweeps() -> None:
    jobs, _ = words_of(["+experiment=remeasure,fashion_ladder", "recipe=small", "out=x"], multirun=True)
    assert [job[0] for job in jobs] == ["+experiment=remeasure"] * 48 + ["+experiment=fashion_ladder"]
    assert jobs[0] == ["+experiment=remeasure", "recipe=small", "out=x", "model=alexnet", "seed=0"]
    with pytest.raises(BadInput, match="add -m"):
        words_of(["+experiment=remeasure,fashion_ladder"], multirun=False)


def test_a_glob_names_the_options_it_matches() -> None:
    jobs, _ = words_of(["model=glob(resnet*)"], multirun=True)
    assert jobs == [[f"model={name}"] for name in options("model") if name.startswith("resnet")]
    assert len(jobs) > 2
    with pytest.raises(BadInput, match="no such model; did you mean resnet"):
        words_of(["model=glob(resnett18)"], multirun=True)


@pytest.mark.parametrize("verb", ["train", "plan", "search"])
def test_a_sweep_without_m_is_one_line_that_names_it(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, *FAKE, "seed=1,2"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("harness: seed=1,2: several values")
    assert "-m" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ODD)
def test_a_path_is_taken_as_typed(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All three that there are."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for typed, meant in ((f"/x/{name}/y", f"/x/{name}/y"), (f"~/{name}", f"{tmp_path}/{name}")):
        jobs, _ = jobs_of([*FAKE, *(f"{key}={typed}" for key in ("out", "data.root", "tracking.dir"))], multirun=False)
        config = compose(jobs[0].overrides)  # as a process of a sweep composes it again
        assert [config.out, config.data.root, config.tracking.dir] == [meant] * 3
        assert jobs[0].config == config


@pytest.mark.parametrize("name", ODD)
def test_a_target_file_may_lie_anywhere(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / name).mkdir()
    level = "metric: top1\nvalue: 0.5\nsplit: evaluation\nsource: test\n"
    (tmp_path / name / "level.yaml").write_text(level)
    for typed in (f"~/{name}/level.yaml", f"{tmp_path}/{name}/level.yaml"):
        (job,), _ = jobs_of([*FAKE, f"target={typed}"], multirun=False)
        assert compose(job.overrides).target.value == 0.5


def test_a_sweep_over_paths_and_a_path_with_a_comma() -> None:
    jobs, _ = jobs_of([*FAKE, "out=/a b,/c=d"], multirun=True)
    assert [job.config.out for job in jobs] == ["/a b", "/c=d"]
    assert compose([*FAKE, "out='/a,b'"]).out == "/a,b"
    with pytest.raises(BadInput, match="out='/a,b'"):
        jobs_of([*FAKE, "out=/a,b"], multirun=False)


def test_what_hydra_cannot_read_says_how_to_quote(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", *FAKE, "tracking.group=it's"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "\"tracking.group='it\\'s'\"" in said
    assert compose([*FAKE, "tracking.group='it\\'s'"]).tracking.group == "it's"


@pytest.mark.parametrize("key", ["out", "data.root", "tracking.dir"])
def test_an_empty_path_is_refused(key: str) -> None:
    with pytest.raises(BadInput, match=f"{key}= is empty"):
        compose([*FAKE, f"{key}="])


@pytest.mark.parametrize(
    "words",
    [
        ["hydra.run.dir=x"],
        ["-m", "hydra.sweep.dir=x"],
        ["hydra.verbose=true"],
        ["hydra/sweeper=optuna"],
        ["hydra.sweeper.max_batch_size=2"],
        ["hydra/job_logging=disabled"],
        ["--config-dir", "x"],
        ["--config-name=other"],
        ["--cfg", "hydra"],
        ["--info"],
    ],
)
def test_a_word_of_hydras_without_effect_is_refused_in_one_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", *FAKE, *words]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("harness: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_cfg_job_prints_the_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", *FAKE, "--cfg", "job"]) == 0
    asked = capsys.readouterr().out
    assert cli.main(["train", "--cfg", *FAKE]) == 0
    assert capsys.readouterr().out == asked
    assert asked.startswith("model:")


def test_words_of_a_wandb_agent_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--cfg", *FAKE, "--seed=7", "--recipe.lr=0.25"]) == 0
    told = capsys.readouterr().out
    assert "\nseed: 7\n" in told
    assert "  lr: 0.25\n" in told
    assert cli.main(["train", *FAKE, "--nonsense"]) == 2
    assert "${args_no_hyphens}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        *[(90, 90), ("90", 90), ("90:30", 91), ("24:00:00", 1440), ("1-0", 1440), ("1-12:30", 2190)],
        *[("1-00:00:00", 1440), ("0-0:0:1", 1)],
    ],
)
def test_minutes_are_read_as_sbatch_reads_them(text: object, minutes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert time_limit(text) == minutes
    _, node = words_of(["hydra/launcher=slurm", f"hydra.launcher.minutes={text}"], multirun=False)
    assert time_limit(slurm_config(node).minutes) == minutes
    monkeypatch.setenv("SBATCH_TIMELIMIT", str(text))
    _, node = words_of(["hydra/launcher=slurm"], multirun=False)
    assert time_limit(slurm_config(node).minutes) == minutes


@pytest.mark.parametrize("text", ["0", "-5", "1h", "UNLIMITED", "1:2:3:4", "1.5", "", True])
def test_other_minutes_are_refused(text: object) -> None:
    with pytest.raises(BadInput, match=r"hydra\.launcher\.minutes"):
        time_limit(text)


NOTEBOOK = """
import signal, sys, threading
from harness import models
from harness.measure.config.compose import compose
from harness.measure.machine.signals import STOP_SIGNALS
from harness.measure.run import run
from hydra import compose as own_compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from tests.measure.faults import SMALL, Net

models.ZOO["net"] = Net
out, folder = sys.argv[1:]
before = [signal.getsignal(number) for number in STOP_SIGNALS]
with initialize_config_dir(folder, version_base="1.3"):
    mine = GlobalHydra.instance().hydra
    assert run(compose([*SMALL, f"out={out}"])).exit_code == 0
    assert GlobalHydra.instance().hydra is mine
    assert own_compose("mine").answer == 42
assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
results = []
thread = threading.Thread(target=lambda: results.append(run(compose([*SMALL, f"out={out}", "seed=1"]))))
thread.start()
thread.join()
assert [result.exit_code for result in results] == [0]
assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
"""


def test_a_notebook_and_a_thread_train_and_get_everything_back(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("answer: 42\n")
    ended = forked.run(["-c", NOTEBOOK, tmp_path / "out", tmp_path], timeout=240)
    assert ended.returncode == 0, ended.stderr
    assert sorted(one.seed for one in read_runs(tmp_path / "out")) == [0, 1]
