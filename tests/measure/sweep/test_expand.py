"""Words to runs: Hydra composes once what differs in numbers alone, and the runs are what it makes one by one."""

import pytest

from harness.measure.config import compose as composing
from harness.measure.config.compose import compose
from harness.measure.sweep import expand as expanding
from harness.measure.sweep.expand import jobs_of
from harness.record.errors import BadInput


def test_runs_of_other_numbers_are_what_hydra_makes_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["data=digits", "model=alexnet,squeezenet1_1", "seed=0,1,2", "recipe.lr=1e-2,0.05", "tracking=wandb"]
    made = []
    hydra = composing.compose_node
    monkeypatch.setattr(composing, "compose_node", lambda words: made.append(words) or hydra(words))
    jobs, _ = jobs_of(words, multirun=True)
    assert len(made) == 2
    assert [job.config.seed for job in jobs] == [0, 0, 1, 1, 2, 2] * 2
    assert [job.config.recipe.lr for job in jobs] == [0.01, 0.05] * 6
    assert len({job.config.tracking.run_name for job in jobs}) == 6  # it is made of network and seed
    assert [job.config for job in jobs] == [compose(job.overrides) for job in jobs]
    jobs[0].config.recipe.lr = 99.0
    assert jobs[1].config.recipe.lr != 99.0  # each has a config of its own


@pytest.mark.parametrize(
    "words",
    [
        ["seed=1", "seed=2"],
        ["seed=1", "seed='2'"],
        ["recipe.lr=1", "recipe.lr=${recipe.weight_decay}"],
        ["data.images_per_class=20", "data.images_per_class=null"],
        ["model=swin_t", "data=imagenet", "recipe.epochs=3", "target.value=0.5"],
        ["recipe.epochs=1_000"],
        ["recipe.momentum=1"],
        ["model.kwargs.dropout=0.2", "+model.kwargs.dropout=0.3"],
        ["+model.kwargs.dropout=0.1", "model.kwargs.dropout=0.2"],
        ["seed=1.5"],
        ["recipe.epoch=3"],
        ["recipe=3"],
        ["seed=null", "seed=1"],
        ["+model.kwargs.r={a:${nope}}", "model.recipes.small=${model.kwargs.r}"],
        ["data.std=${data.mean}", "data.mean.0=0.3"],
        ["model.kwargs=${model.recipes.small}", "model.recipes.small.lr=0.5"],
        ["evaluations_per_epoch=3", "+model.kwargs.x=['${evaluations_per_epoch}']", "data.mean=${model.kwargs.x}"],
    ],
)
def test_a_number_means_what_it_means_to_hydra(words: list[str]) -> None:
    words = words if "data=imagenet" in words else ["data=digits", *words]
    ends = []
    for known in (None, {}):
        try:
            ends.append(compose(words, known=known))
        except BadInput as error:
            ends.append(str(error))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("seeds", [f"0,{2**64}", "0,one"])
def test_a_seed_that_is_none_is_refused_wherever_it_stands(seeds: str) -> None:
    with pytest.raises(BadInput, match="seed"):
        jobs_of(["data=digits", f"seed={seeds}"], multirun=True)


def test_an_interval_is_refused_with_what_to_give() -> None:
    with pytest.raises(BadInput, match=r"recipe.lr=interval\(0,1\): .* range"):
        jobs_of(["data=digits", "recipe.lr=interval(0,1)"], multirun=True)


def test_one_run_is_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with words for Hydra's launcher, a number and an experiment; and it is what Hydra makes of its words."""
    words = ["+experiment=debug", "model=alexnet", "seed=3", "tracking=wandb", "hydra.launcher.parallel=2"]
    made = []
    hydra = composing.compose_node
    watched = lambda words, **how: made.append(words) or hydra(words, **how)  # noqa: E731
    for module in (composing, expanding):
        monkeypatch.setattr(module, "compose_node", watched)
    (job,), launcher = jobs_of(words, multirun=False)
    assert len(made) == 1
    assert launcher.parallel == 2
    assert "hydra.launcher.parallel=2" not in job.overrides
    assert job.config == compose(job.overrides)
