"""Words to runs: Hydra composes once what differs in the seed alone, and the runs are what it makes one by one."""

import pytest

from harness.measure.config import compose as composing
from harness.measure.config.compose import compose
from harness.measure.sweep.expand import jobs_of
from harness.record.errors import BadInput


def test_runs_of_other_seeds_are_what_hydra_makes_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["data=digits", "model=alexnet,squeezenet1_1", "seed=0,1,2", "budget.epochs=2", "tracking=wandb"]
    made = []
    hydra = composing.compose_node
    monkeypatch.setattr(composing, "compose_node", lambda words: made.append(words) or hydra(words))
    jobs, _ = jobs_of(words, multirun=True)
    assert len(made) == 2
    assert [job.config.seed for job in jobs] == [0, 1, 2, 0, 1, 2]
    assert len({job.config.tracking.run_name for job in jobs}) == 6  # it is made of the seed
    assert [job.config for job in jobs] == [compose(job.overrides) for job in jobs]
    jobs[0].config.recipe.lr = 99.0
    assert jobs[1].config.recipe.lr != 99.0  # each has a config of its own


@pytest.mark.parametrize("seeds", [f"0,{2**64}", "0,one"])
def test_a_seed_that_is_none_is_refused_wherever_it_stands(seeds: str) -> None:
    with pytest.raises(BadInput, match="seed"):
        jobs_of(["data=digits", f"seed={seeds}"], multirun=True)
