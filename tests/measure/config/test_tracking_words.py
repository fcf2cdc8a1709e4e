"""W&B's variables count where the config says nothing; what W&B would refuse is refused before the run."""

from pathlib import Path

import pytest

from harness import cli
from harness.measure.config.compose import compose
from harness.measure.config.tracking import FROM_ENVIRONMENT
from harness.record.errors import EXIT_BAD_INPUT, BadInput

RUN = ["data=fake", "model=squeezenet1_1", "target=none"]


@pytest.fixture(autouse=True)
def nobodys_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_RUN_ID", "WANDB_SWEEP_ID", *FROM_ENVIRONMENT.values()):
        monkeypatch.delenv(name, raising=False)


def test_every_variable_counts_where_the_config_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in FROM_ENVIRONMENT.values():
        monkeypatch.setenv(variable, "a, b")
    options = vars(compose([*RUN, "tracking=wandb"]).tracking)
    named = {name: options[name] for name in FROM_ENVIRONMENT}
    assert named == {**dict.fromkeys(FROM_ENVIRONMENT, "a, b"), "tags": ["a", "b"]}
    said = compose([*RUN, "tracking=wandb", *(f"tracking.{name}=mine" for name in FROM_ENVIRONMENT if name != "tags")])
    assert {getattr(said.tracking, name) for name in FROM_ENVIRONMENT if name != "tags"} == {"mine"}
    assert compose([*RUN, "tracking=wandb", "tracking.tags=[c]"]).tracking.tags == ["c"]
    assert compose(RUN).tracking == compose([*RUN, "tracking=none"]).tracking
    assert compose(RUN).tracking.entity is None


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("tracking.project=team/project", "tracking.project=team/project: W&B takes no /"),
        (f"tracking.tags=[{'x' * 65}]", "tracking.tags: W&B takes 1 to 64 characters"),
        ("tracking.mode=ONLINE", "tracking.mode=ONLINE: use one of"),
    ],
)
def test_what_wandb_would_refuse_is_refused_at_the_start(word: str, line: str) -> None:
    with pytest.raises(BadInput, match=line.replace("[", "\\[")):
        compose([*RUN, "tracking=wandb", word])


def test_the_words_of_wandb_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "OFFLINE")
    with pytest.raises(BadInput, match=r"WANDB_MODE=OFFLINE: use one of online, .* in small letters"):
        compose([*RUN, "tracking=wandb"])
    compose([*RUN, "tracking=wandb", "tracking.mode=offline"])  # the config's own word wins
    compose(RUN)
    for word in ("online", "run", "offline", "dryrun", "disabled"):
        monkeypatch.setenv("WANDB_MODE", word)
        compose([*RUN, "tracking=wandb"])


@pytest.mark.parametrize(
    "words", [["train", "-m", "seed=0,1"], ["search", "target.metric=top1", "target.value=0.5"]], ids=["-m", "search"]
)
def test_one_run_of_an_agent_is_not_several(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """W&B would write them all into the one run that the agent asked for."""
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "agents01")
    run = [word for word in RUN if word != "target=none"]
    assert cli.main([*words, *run, "tracking=wandb", f"out={tmp_path / 'runs'}"]) == EXIT_BAD_INPUT
    assert "asked for its run agents01, and this command starts several" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
