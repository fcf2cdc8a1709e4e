"""Every architecture has a complete card whose numbers are the counter's and whose facts are the study's."""

import csv
import datetime
import functools
import json
import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import yaml

from harness import cli, models
from harness.measure.bill.memory import unfit
from harness.measure.bill.report import STUDY
from harness.measure.config import cards
from harness.measure.config.compose import compose, options
from harness.measure.config.schema import Config, FidelityConfig
from harness.measure.config.validate import remarks
from harness.measure.data.loader.stream import BATCHES_AHEAD
from harness.paths import CONF
from harness.record.errors import BadInput
from harness.record.fidelity import FLAGS, UNKNOWN, flags_of

GOLDEN_FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = {r["model"]: r for r in json.loads((GOLDEN_FOLDER / "complexity.json").read_text())}
ZOO = sorted(models.ZOO)
KEYS = {
    *("name", "title", "published", "published_source", "paper", "kwargs", "params", "forward_macs", "min_resolution"),
    *("auxiliary_weight", "fidelity", "expected_epochs", "resources", "default_recipe", "recipes"),
}


@functools.cache
def on_imagenet(model: str, recipe: str | None = None) -> Config:
    """Composed once for all tests of this file, which only read it."""
    return compose([f"model={model}", "data=imagenet", *([] if recipe is None else [f"recipe={recipe}"])])


def test_one_card_for_each_network() -> None:
    assert {path.stem for path in cards.CARDS.glob("*.yaml")} == set(models.ZOO)


@pytest.mark.parametrize("name", ZOO)
def test_numbers_are_the_counters(name: str) -> None:
    card = cards.read_card(name, resolution=224)
    assert set(card) == KEYS
    assert card["name"] == name
    assert (card["params"], card["forward_macs"]) == (GOLDEN[name]["params"], GOLDEN[name]["forward_macs"])
    assert card["min_resolution"] <= 64  # the embedded data sets


@pytest.mark.parametrize("name", ZOO)
def test_header_and_comments(name: str) -> None:
    """Paper, date, exact command and expectation on top; a comment at every key."""
    text = (cards.CARDS / f"{name}.yaml").read_text()
    card = yaml.safe_load(text)
    header = text.splitlines()[:3]
    assert card["paper"] in header[0]
    assert card["published"] in header[0]
    recipe = card["default_recipe"]
    assert header[1] == f"# harness train model={name} data=imagenet recipe={recipe} target=paper_top5"
    assert header[2].startswith("# Expect: ")
    previous = ""
    for line in text.splitlines():
        if re.match(r"\s*[a-z_0-9]+:", line):
            assert " # " in line or previous.lstrip().startswith("#"), line
        assert len(line) <= 170, line
        previous = line


@pytest.mark.parametrize("name", ZOO)
def test_dates(name: str) -> None:
    """arXiv's number holds the month of the first version."""
    card = cards.read_card(name, resolution=224)
    day = datetime.date.fromisoformat(card["published"])
    if found := re.search(r"arxiv\.org/abs/(\d\d)(\d\d)\.", card["paper"]):
        assert (day.year % 100, day.month) == (int(found[1]), int(found[2]))
    else:
        assert "study's date" in card["published_source"]


def test_study_epochs() -> None:
    with open(STUDY, newline="", encoding="utf-8") as file:
        study = {line["model"]: float(line["epochs"]) for line in csv.DictReader(file)}
    assert {n: cards.read_card(n, resolution=224)["expected_epochs"] for n in ZOO} == {n: study.get(n) for n in ZOO}


def test_study_learning_rates() -> None:
    """0.1 and one smooth decay, but 0.01 for VGG and GoogLeNet, and steps for AlexNet; our deviations are these."""
    deviating = {"alexnet", "alexnet_2012", "squeezenet1_1"}  # no normalisation: each card says so
    for name in ZOO:
        recipe = on_imagenet(name, "paper2020").recipe
        low = name in deviating | {"vgg11", "googlenet", "googlenet_2014"}
        assert recipe.lr == (0.01 if low else 0.1), name
        assert recipe.schedule == ("step" if name.startswith("alexnet") else "exponential")
        assert recipe.schedule_factor == (10.0 if name.startswith("alexnet") else 1000.0)


def test_default_recipes() -> None:
    """The study's sixteen keep its recipe; networks it does not suit have their paper's, and say so."""
    own = {name: on_imagenet(name).recipe.name for name in ZOO}
    other = {"convnext_tiny", "efficientnet_v2_s", "swin_t", "vit_b_16"}
    assert {name for name, recipe in own.items() if recipe != "paper2020"} == other
    assert {own[name] for name in other} == {"era"}
    with open(STUDY, newline="", encoding="utf-8") as file:
        assert other.isdisjoint(line["model"] for line in csv.DictReader(file))
    assert compose(["model=vit_b_16", "data=fashion_mnist"]).recipe.name == "small"
    for name in ZOO:
        asked = on_imagenet(name, "paper2020")
        assert asked.recipe.name == "paper2020"
        assert len(remarks(asked)) == (name in other)
        assert remarks(on_imagenet(name)) == []


@pytest.mark.parametrize(
    ("words", "start"),
    [(["count", "resnet18"], "no architecture"), (["train", "model=resnet18", "data=fake"], "model.name=resnet18")],
    ids=str,
)
def test_a_card_without_a_constructor_says_where_to_add_it(
    words: list[str], start: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(models.ZOO, "resnet18")
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert start in line
    assert line.endswith("conf/model/resnet18.yaml has no constructor, add it to ZOO in models/__init__.py")


def test_a_constructor_without_a_card_says_which_card_to_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.ZOO, "tiny", models.ZOO["resnet18"])
    with pytest.raises(BadInput, match=r"add its card conf/model/tiny\.yaml"):
        cards.read_card("tiny", resolution=224)


def test_a_card_copied_for_another_network_is_told() -> None:
    card = cards.read_card("resnet18", resolution=224)
    right = {"params": card["params"], "forward_macs": card["forward_macs"]}
    assert cards.card_remark(card, **right) is None
    line = cards.card_remark(card, **right | {"params": 20_000})
    assert line is not None
    assert "says 11,689,512 params" in line
    assert "the network has 20,000" in line


def test_composed_recipes_are_those_of_the_long_cards() -> None:
    """golden/recipes.json was composed when every card still repeated every default; micro-batches and a strength of
    RandAugment came later, and what the papers say was read again."""
    golden = json.loads((GOLDEN_FOLDER / "recipes.json").read_text())
    assert len(golden) == 4 * len(ZOO)
    for key, told in golden.items():
        model, recipe = key.split()
        assert asdict(on_imagenet(model, recipe).recipe) == {"name": recipe, **told}, key


@pytest.mark.parametrize("name", ZOO)
def test_a_card_says_only_what_differs(name: str) -> None:
    card = cards.read_card(name, resolution=224)["recipes"]
    for recipe, own in card.items():
        text = (CONF / "recipe" / f"{recipe}.yaml").read_text()
        defaults = {
            key: yaml.safe_load(value)
            for key, value in re.findall(rf"\{{oc\.select:model\.recipes\.{recipe}\.(\w+),(.*?)\}}(?:\s|$)", text)
        }
        assert [key for key, value in own.items() if key in defaults and defaults[key] == value] == []


def test_the_flags_ask_what_the_cards_answer() -> None:
    assert [*UNKNOWN, "note"] == [field.name for field in fields(FidelityConfig)]
    assert flags_of(UNKNOWN) == []
    raised = {name: bad for name, bad, _ in FLAGS.values()}
    assert flags_of(raised) == list(FLAGS)


def test_flags_of_the_known_traps() -> None:
    flags = {name: cards.read_card(name, resolution=224)["fidelity"] for name in ZOO}
    assert [name for name in ZOO if flags[name]["batchnorm_before_2015"]] == ["googlenet"]
    assert [name for name in ZOO if not flags[name]["era_operators"]] == ["googlenet"]
    assert {"alexnet", "googlenet"} <= {name for name in ZOO if flags[name]["changed_kernels"]}
    assert not flags["googlenet_2014"]["changed_kernels"]
    assert flags["alexnet"]["dropout_as_published"] is False
    assert flags["mobilenet_v2"]["dropout_as_published"] is True
    assert flags["efficientnet_b0"]["ema_as_published"] is False
    assert all(card["note"] for card in flags.values())


@pytest.mark.parametrize("recipe", options("recipe"))
def test_every_card_composes_with_every_recipe(recipe: str) -> None:
    assert len(ZOO) >= 16
    for name in ZOO:
        config = on_imagenet(name, recipe)
        assert (config.model.name, config.recipe.name) == (name, recipe)


@pytest.mark.parametrize("name", ZOO)
def test_every_recipe_of_a_card_fits_the_gpus_and_the_memory_that_the_card_asks_for(name: str) -> None:
    """Activations and weights on the GPU that is named; the ring of pixels in a quarter of the host's memory."""
    resources = on_imagenet(name).model.resources
    configs = [on_imagenet(name, recipe) for recipe in on_imagenet(name).model.recipes]
    assert configs
    assert unfit(configs) == []
    for config in configs:
        pixels = max([config.data.resolution, *(p.resolution for p in config.recipe.resolution_schedule)]) ** 2 * 3
        ring = 2 * BATCHES_AHEAD * config.recipe.batch_size * pixels  # of both passes, over all GPUs
        assert ring <= resources.gpus * resources.memory_gb * 10**9 / 4


@pytest.mark.parametrize("recipe", ["small", "paper2020", "era", "modern"])
def test_every_card_composes_with_every_recipe_for_small_images(recipe: str) -> None:
    for name in ZOO:
        config = compose([f"model={name}", "data=digits", f"recipe={recipe}", "data.resolution=64"])
        assert config.model.name == name
        assert config.recipe.lr > 0


def test_position_embedding_follows_the_resolution() -> None:
    assert compose(["model=vit_b_16", "data=digits", "data.resolution=48"]).model.kwargs == {"image_size": 48}
