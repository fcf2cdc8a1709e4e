from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from harness.measure.config.compose import CONF, compose, options, recorded, run_id
from harness.measure.config.level import target_of
from harness.measure.machine.device import resolve
from harness.record.errors import BadInput


@pytest.mark.parametrize("data", options("data"))
def test_every_data_set_composes_with_every_recipe_and_target(data: str) -> None:
    for group in ("recipe", "target"):
        for name in options(group):
            config = compose([f"data={data}", f"{group}={name}", "data.resolution=224"])
            assert config.data.name == {"prepared": "imagenet"}.get(data, data)  # a store of the same images


@pytest.mark.parametrize("group", ["target", "tracking", "hydra/launcher", "experiment"])
def test_every_other_option_composes(group: str) -> None:
    found = options(group)
    assert found
    for name in found:
        compose([f"{'+' if group == 'experiment' else ''}{group}={name}", "data.resolution=224"])


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda p: str(p.relative_to(CONF)))
def test_every_key_has_a_comment(path: Path) -> None:
    lines = path.read_text().splitlines()
    bare = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if line.strip()
        and not line.lstrip().startswith(("#", "-"))
        and "#" not in line
        and not before.lstrip().startswith("#")
        and not line.rstrip().endswith(":")
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=resnet19"], "no such model; did you mean resnet18"),
        (["recipe=3"], "recipe=3: no such recipe; there are: "),
        (["data=[1]"], "data=[1]: no such data; there are: "),
        (["recipe=[era,small]"], "recipe=[era,small]: one is asked for; `harness train -m recipe=era,small` sweeps"),
        (["~model"], "~model: a run needs one; choose with model=NAME; there are: alexnet"),
        (["modle=resnet18"], "modle: no such config key; did you mean model"),
        (["recipe.batchsize=3"], "recipe.batchsize: no such config key; did you mean recipe.batch_size"),
        (["+recipe.batchsize=3"], "no such config key"),
        (["+surprise=3"], "surprise: no such config key"),
        (["target.metric=top1", "target.value=56.5"], "did you mean 0.565"),
        (["target.metric=top1", "target.value=1.5"], "fraction"),
        (["target=none", "target.value=0.5"], "both target.metric and target.value"),
        (["target.metric=accuracy", "target.value=0.5"], "top1, top5"),
        (["recipe.batch_size=0"], "recipe.batch_size=0: it must be above 0"),
        (["recipe.batch_size=-4"], "recipe.batch_size=-4: it must be above 0"),
        (["budget.epochs=0"], "budget.epochs=0: it must be above 0"),
        (["budget.epochs=abc"], "budget.epochs: Value 'abc'"),
        (["data.resolution=0"], "data.resolution=0: it must be above 0"),
        (["data.resolution=-1"], "data.resolution=-1: it must be above 0"),
        (["model=alexnet", "data.resolution=62"], "too small for alexnet, which needs 63 or more"),
        (
            ["recipe.resolution_schedule=[{from_epoch: 0, resolution: 2}]", "model=alexnet"],
            "resolution_schedule=2: too small",
        ),
        (["seed=-1"], "seed=-1: it must not be negative"),
        (["seed=18446744073709551616"], "seed is 18446744073709551616: a seed is 0 or more and below 2^64"),
        (["data.name=../evil"], "data.name is '../evil'"),
        (["model.published=soon"], "model.published is 'soon': write YYYY-MM-DD"),
        (["model.published='2999-01-01'"], "in the future"),
        (["recipe.momentum=1"], "recipe.momentum=1.0: it must be below 1"),
        (["recipe.momentum=-0.1"], "recipe.momentum=-0.1: it must not be negative"),
        (["recipe.average_decay=1.5"], "recipe.average_decay=1.5: it must be above 0 and below 1"),
        (["recipe.average_decay=1"], "recipe.average_decay=1.0: it must be above 0 and below 1"),
        (["recipe.average=swa"], "recipe.average=swa: use one of none, ema"),
        (["recipe.label_smoothing=2"], "recipe.label_smoothing=2.0: it must be at most 1"),
        (["recipe.label_smoothing=-1"], "recipe.label_smoothing=-1.0: it must not be negative"),
        (["recipe.label_smoothing=nan"], "recipe.label_smoothing=nan"),
        (["recipe.optimizer=nesterov", "recipe.momentum=0"], "recipe.optimizer=nesterov needs it above 0"),
        (["recipe.optimizer=rmsprop"], "recipe.epsilon=None: recipe.optimizer=rmsprop needs it above 0"),
        (["recipe=modern", "budget.epochs=4"], "recipe.warmup_epochs=5 is longer than the plan, budget.epochs=4"),
        (["recipe.resolution_schedule=[{from_epoch: 1, resolution: 64}]"], "at 64 pixels changes nothing"),
        (["recipe.resolution_schedule=[{from_epoch: 15, resolution: 96}]"], "begins outside the plan of 15 epochs"),
        (["model.name=swin_q"], "model.name=swin_q: no such architecture; did you mean swin_t"),
        (["device=tpu"], "device=tpu: use one of auto, cpu, cuda"),
        (["budget.gpu=T1000"], "budget.gpu=T1000: use one of V100, A100"),
        (["recipe.optimizer=lion"], "use one of sgd"),
        (["target=no/such/file.yaml"], "harness target"),
        (["model="], "model"),
    ],
)
def test_bad_input_gets_one_clear_line(overrides: list[str], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        compose(overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_ends_of_what_a_recipe_may_say_compose() -> None:
    ends = ["recipe.momentum=0", "recipe.average_decay=null", "recipe.label_smoothing=1"]
    for optimizer in ("sgd", "rmsprop", "adamw"):
        assert compose([*ends, f"recipe.optimizer={optimizer}", "recipe.epsilon=1"]).recipe.momentum == 0
    assert compose(["recipe.optimizer=nesterov", "recipe.momentum=0.01"]).recipe.optimizer == "nesterov"


def test_a_target_file_is_read_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "level.yaml"
    file.write_text("metric: top1\nvalue: 0.75\nsplit: validation\nsource: three seeds\n")
    target = target_of(compose([f"target={file}"]))
    assert target is not None
    assert (target.metric, target.value, target.source) == ("top1", 0.75, "three seeds")
    file.write_text("just words")
    with pytest.raises(BadInput, match="not a target"):
        compose([f"target={file}"])
    file.write_text("metric: top1\nvalue: 0.75\nsplit: validation\nsource: x\nextra: 1\n")
    with pytest.raises(BadInput, match="no such config key"):
        compose([f"target={file}"])


def test_a_level_given_by_hand_says_so() -> None:
    target = target_of(compose(["target.metric=top5", "target.value=0.9"]))
    assert target is not None
    assert target.source == "set on the command line"
    assert target_of(compose(["target=none"])) is None


def test_the_default_level_on_imagenet_is_alexnets_top1() -> None:
    target = target_of(compose(["data=imagenet", "model=alexnet"]))
    assert target is not None
    assert (target.metric, target.value) == ("top1", 0.56522)


def test_identity_is_what_decides_the_result() -> None:
    base = compose(["target=none"])
    same = ["out=elsewhere", "device=cpu", "data.root=/data", "threads=1", "checkpoint_minutes=1", "compile=true"]
    same += ["cuda_graph=true"]
    assert run_id(compose(["target=none", *same])) == run_id(base)
    different = ["seed=1", "recipe.lr=0.2", "budget.epochs=3", "data.resolution=96", "precision=bf16", "model=resnet34"]
    ids = {run_id(compose(["target=none", one])) for one in [*different, "evaluations_per_epoch=2"]}
    assert len(ids) == len(different) + 1
    assert run_id(base) not in ids


@pytest.mark.parametrize(
    ("word", "fused"), [("true", "true"), ("'true'", "true"), ("false", "false"), ("auto", "false")]
)
def test_a_switch_takes_a_truth_value_as_well_as_a_word(word: str, fused: str) -> None:
    asked = compose(["model=shufflenet_v2_x1_0", "data=fake", "target=none", "device=cpu", f"fused_optimizer={word}"])
    assert resolve(asked).fused_optimizer == fused


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["device=cpu"], "only on a GPU"),
        (["device=cuda", "precision=bf16", "compile=true"], "leave one of them off"),
        (["device=cuda", "precision=fp16"], "use bf16"),
        (["device=cuda", "precision=bf16", "fused_optimizer=false"], "leave it off"),
        (["device=cuda", "precision=bf16", "recipe.optimizer=rmsprop", "recipe.epsilon=1.0"], "leave it off"),
        (["device=cuda", "precision=bf16", "recipe.optimizer=adamw"], None),
    ],
    ids=["cpu", "compiled", "fp16", "unfused", "rmsprop", "adamw"],
)
def test_a_graph_is_refused_where_the_host_decides_within_a_step(
    words: list[str], refusal: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = compose(["model=resnet18", "data=fake", "target=none", "cuda_graph=true", *words])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    if refusal is None:
        assert resolve(asked).cuda_graph
        return
    with pytest.raises(BadInput, match=f"cuda_graph=true: .*{refusal}"):
        resolve(asked)


def test_zero_is_a_seed() -> None:
    assert compose(["seed=0"]).seed == 0
    assert run_id(compose(["seed=0"])) != run_id(compose(["seed=1"]))


def test_the_strength_of_randaugment_is_in_a_runs_name_where_it_is_another_than_once() -> None:
    def named(*words: str) -> str:
        return run_id(compose(["target=none", *words]))

    off, on, strong = "recipe.randaugment=false", "recipe.randaugment=true", "recipe.randaugment_magnitude=27"
    assert named(off, strong) == named(off)
    assert named(on, "recipe.randaugment_magnitude=9") == named(on)
    assert len({named(off), named(on), named(on, strong)}) == 3


def test_the_recorded_config_holds_no_path(tmp_path: Path) -> None:
    config = replace(compose([f"data.root={tmp_path}"]), out=str(tmp_path))
    text = recorded(config)
    assert str(tmp_path) not in text
    assert yaml.safe_load(text)["recipe"]["lr"] == config.recipe.lr


def test_a_callers_own_hydra_is_left_alone(tmp_path: Path) -> None:
    """A notebook that uses Hydra composes one of our configs in between."""
    (tmp_path / "own.yaml").write_text("a: 1\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        compose(["seed=3"])
        assert hydra_compose("own").a == 1
