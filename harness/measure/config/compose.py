"""Overrides -> a validated Config, and the identity of the run it describes."""

import copy
import difflib
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.measure.config.level import target_of
from harness.measure.config.schema import Config, RecipeConfig
from harness.measure.config.tracking import from_environment
from harness.measure.config.validate import validate
from harness.measure.config.words import as_typed, at_home, parsed, unquoted
from harness.paths import CONF
from harness.record.errors import BadInput
from harness.record.protocol import PROTOCOL_VERSION, digest

# What decides a run's result, seed aside. Where it runs, who watches and how fast it goes stay out of its identity.
_SEMANTIC_MODEL = ("name", "kwargs", "auxiliary_weight")
_SEMANTIC_DATA = (
    *("name", "classes", "images_per_class", "evaluation_images_per_class"),
    *("resolution", "crop_ratio", "mean", "std", "pixels"),
)
_SEMANTIC_TARGET = ("metric", "value", "split", "confirm", "past_evaluations", "also")
_STUDY_RECIPE = "paper2020"
_FIRST_MAGNITUDE = 9
"""RandAugment's, when it had no key of its own."""


_NUMBER = re.compile(r"(?!hydra\.)[a-z][a-z0-9_.]*=[0-9][-+0-9.e]*")

Composed = dict[tuple[str, ...], DictConfig | None]
"""What Hydra made of the words of runs so far, without those that set a number: see `base`."""


def compose(overrides: list[str], *, known: Composed | None = None) -> Config:
    """The config of one run from Hydra overrides (no sweeps); raises BadInput in one line.

    Beside Hydra's grammar, `target=path/to/file.yaml` takes a level written by `harness target`. known: shared by the
    runs of a sweep, so that those that differ in numbers alone (seed, learning rate) cost Hydra's time once.
    """
    overrides, target_file = take_target_file(as_typed(overrides))
    for word in overrides:
        parsed(word)  # one that is not Hydra's ends here, with how to quote it
    node = typed(compose_node(overrides), overrides) if known is None else _node(overrides, known)
    try:
        if target_file is not None:
            node.target.merge_with(_read_target(target_file))
        if any(o.lstrip("+").startswith(("target.value=", "target.metric=")) for o in overrides):
            node.target.source = "set on the command line"
        if node.tracking.name == "wandb":
            keys = [word.lstrip("+").partition("=")[0] for word in overrides]
            node.tracking.update(from_environment([key.removeprefix("tracking.") for key in keys]))
        config = OmegaConf.to_object(node)
    except OmegaConfBaseException as error:
        raise BadInput(_explain(error, overrides)) from error
    assert isinstance(config, Config)
    config.out, config.tracking.dir = at_home(config.out), at_home(config.tracking.dir)
    config.data.root = None if config.data.root is None else at_home(config.data.root)
    if isinstance(config.data.classes, list):  # their order says nothing: equal choices are one run
        config.data.classes = sorted(str(name) if isinstance(name, int) else name for name in config.data.classes)
    validate(config)
    return config


def _node(overrides: list[str], known: Composed) -> DictConfig:
    """Typed. Hydra composes the words that set no number once, and numbers are set in a copy of that.

    Where that cannot be (no such key, set by another word too, not to this number), Hydra says what comes of it.
    """
    others = without_numbers(overrides)
    if others not in known:
        known[others] = base(compose_node(list(others)))
    node = copy.deepcopy(known[others])
    if node is not None and _set_numbers(node, overrides, others):
        return node
    return typed(compose_node(overrides), overrides)


def base(node: DictConfig) -> DictConfig | None:
    """What Hydra made of words without numbers, typed; None where numbers cannot be set in a copy of it.

    They cannot where the words alone make no config, or where an interpolation stands for a list or a mapping, which
    may hold a number.
    """
    try:
        return None if _found(node) else _held(node)
    except OmegaConfBaseException:
        return None


def _set_numbers(node: DictConfig, overrides: list[str], others: tuple[str, ...]) -> bool:
    """Set those that the overrides have beside the others; False where one means more than that."""
    elsewhere = [word.lstrip("+~").partition("=")[0] for word in others]
    try:
        for word in overrides:
            if word in others:
                continue
            key = word.partition("=")[0]
            present = OmegaConf.select(node, key, default=node, throw_on_resolution_failure=False)
            twice = any(key == other or ("." in other and key.startswith(f"{other}.")) for other in elsewhere)
            if OmegaConf.is_config(present) or twice:
                return False
            OmegaConf.update(node, key, parsed(word).value())
    except OmegaConfBaseException:
        return False
    return True


def typed(node: DictConfig, overrides: list[str]) -> DictConfig:
    """What Hydra made of the words, held to the schema; raises BadInput in one line. Other interpolations stay."""
    try:
        if found := _found(node):
            node = cast(DictConfig, OmegaConf.merge(node, found))
        return _held(node)
    except OmegaConfBaseException as error:
        raise BadInput(_explain(error, overrides)) from error


def _held(node: DictConfig) -> DictConfig:
    return cast(DictConfig, OmegaConf.merge(OmegaConf.structured(Config), node))


def _found(node: DictConfig) -> dict[str, Any]:
    """The lists and mappings that interpolations stand for: OmegaConf holds their elements to no schema."""
    found: dict[str, Any] = {}
    for key in map(str, node):
        value = OmegaConf.select(node, key, throw_on_resolution_failure=False)
        if OmegaConf.is_interpolation(node, key):
            if OmegaConf.is_config(value):
                found[key] = OmegaConf.to_container(value, resolve=True)
        elif isinstance(value, DictConfig) and (below := _found(value)):
            found[key] = below
    return found


def without_numbers(overrides: list[str]) -> tuple[str, ...]:
    """The words but for those that set a number: what a node is known under. A number of Hydra's own is kept."""
    return tuple(word for word in overrides if not _NUMBER.fullmatch(word))


def compose_node(overrides: list[str], *, with_hydra: bool = False) -> DictConfig:
    """Hydra's own composition, its errors in one line; `with_hydra` keeps the node `hydra` (for the launcher).

    Where the data's default is the study's recipe and nobody chose one, the card's own default takes its place.
    """
    overrides = as_typed(overrides)
    node = _hydra_node(overrides, with_hydra)
    own = node.model.get("default_recipe", _STUDY_RECIPE)
    chosen = any(override.lstrip("+").startswith("recipe=") for override in overrides)
    if chosen or node.recipe.get("name") != _STUDY_RECIPE or own == _STUDY_RECIPE:
        return node
    return _hydra_node([*overrides, f"recipe={own}"], with_hydra)


def _hydra_node(overrides: list[str], with_hydra: bool) -> DictConfig:
    _refuse_nameless(overrides)
    mine = GlobalHydra.instance()
    callers, mine.hydra = mine.hydra, None  # a notebook may have a Hydra of its own: it gets it back
    try:
        with initialize_config_dir(str(CONF), version_base="1.3", job_name="train"):
            return hydra_compose("train", overrides=overrides, return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise BadInput(_explain(error, overrides)) from error
    finally:
        GlobalHydra.instance().hydra = callers


def take_target_file(overrides: list[str]) -> tuple[list[str], Path | None]:
    """Overrides that Hydra understands, and the file of `target=path/to/file.yaml` if one is among them."""
    kept: list[str] = []
    file: Path | None = None
    for override in overrides:
        key, _, value = override.partition("=")
        value = unquoted(value) if key == "target" else value
        if key == "target" and value.endswith((".yaml", ".yml")):
            file = Path(at_home(value))
            kept.append("target=none")
        else:
            kept.append(override)
    return kept, file


def _read_target(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"target={path}: {error.strerror}; write it with `harness target RUNS... --out {path}`"
        ) from error
    except yaml.YAMLError as error:
        raise BadInput(f"target={path}: not YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(data, dict):
        raise BadInput(f"target={path}: not a target; it needs metric, value, split and source")
    return data


def options(group: str) -> list[str]:
    """Names of the options of a config group, e.g. "model"."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def nearest(word: str, among: list[str]) -> str:
    """ "; did you mean a, b?" for the closest names, else the whole list."""
    close = difflib.get_close_matches(word, among, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {', '.join(close)}?"
    return f"; there are: {', '.join(name for name in among if '.' not in name)}"


def _explain(error: Exception, overrides: list[str]) -> str:
    """One line for Hydra's and OmegaConf's errors, with the nearest existing names."""
    text = str(error)
    full = re.search(r"full_key: (\S+)", text)
    if match := re.search(r"Could not find '(\w[\w/]*)/([^']+)'", text):
        group, name = match.groups()
        return f"{group}={name}: no such {group.split('/')[-1]}{nearest(name, options(group))}"
    if match := re.search(r"(?:Sweep parameters|Ambiguous value for argument) '([^']+)'", text):
        return f"{match[1]}: several values, and one is asked for; `harness train -m` sweeps over them"
    if match := re.search(r"Could not override '([^']+)'", text):
        return f"{match[1]}: no such config key{nearest(match[1], _all_keys())}"
    if match := re.search(r"Key '([^']+)' not in '(\w+)'", text) or re.search(r"Key '([^']+)' is not in struct", text):
        name = (full or match)[1]
        return f"{name}: no such config key{nearest(name, _all_keys())}"
    first = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    where = f"{full[1]}: " if full and full[1] not in first else ""
    return f"{where}{first} (overrides: {' '.join(overrides)})"


def _refuse_nameless(overrides: list[str]) -> None:
    """A group's option is chosen by its name, experiments by a list of names too; Hydra stumbles over other values.

    A list of recipes Hydra would lay over one another, and who writes one means a sweep.
    """
    for word in overrides:
        override = parsed(word)
        group, value = override.key_or_group, override.value()
        if override.is_sweep_override() or not (CONF / group).is_dir():
            continue
        if override.is_delete():
            raise BadInput(f"{word}: a run needs one; choose with {group}=NAME{nearest('', options(group))}")
        names = value if isinstance(value, list) else [value]
        if not all(isinstance(name, str) for name in names):
            raise BadInput(f"{word}: no such {group.split('/')[-1]}{nearest(str(value), options(group))}")
        if isinstance(value, list) and group != "experiment":
            raise BadInput(f"{word}: one is asked for; `harness train -m {group}={','.join(names)}` sweeps over them")


def _all_keys() -> list[str]:
    keys: list[str] = []

    def walk(cls: Any, prefix: str) -> None:
        for field in fields(cls):
            keys.append(prefix + field.name)
            if hasattr(field.type, "__dataclass_fields__"):
                walk(field.type, f"{prefix}{field.name}.")

    walk(Config, "")
    return keys


def semantic(config: Config) -> dict[str, Any]:
    """The part of a config that decides the result, as plain data, without the seed."""
    whole = asdict(config)
    return {
        "model": {k: whole["model"][k] for k in _SEMANTIC_MODEL},
        "recipe": _semantic_recipe(config.recipe),
        "data": {k: whole["data"][k] for k in _SEMANTIC_DATA},
        "target": None if target_of(config) is None else {k: whole["target"][k] for k in _SEMANTIC_TARGET},
        "calibration": config.calibration,
        "epochs": config.budget.epochs,
        "evaluations_per_epoch": config.evaluations_per_epoch,
        "precision": config.precision,
        "sync_batchnorm": config.sync_batchnorm,
        "protocol": PROTOCOL_VERSION,
    }


def _semantic_recipe(recipe: RecipeConfig) -> dict[str, Any]:
    """The recipe in the words of the first records, so that a run that means the same keeps its name.

    What came later enters only where it alters a run: an average (which now warms up), RMSprop's epsilon and another
    strength of RandAugment do. Layers frozen midway, an option once, are always none.
    """
    told = asdict(recipe)
    average = {name: told.pop(name) for name in ("average", "average_decay")}
    epsilon = told.pop("epsilon")  # inside the root, since TensorFlow's rule
    if recipe.optimizer == "rmsprop":
        told["epsilon"] = epsilon
    magnitude = told.pop("randaugment_magnitude")
    if recipe.randaugment and magnitude != _FIRST_MAGNITUDE:
        told["randaugment_magnitude"] = magnitude
    told |= {"ema_decay": 0.0, "frozen": []}
    return told if recipe.average == "none" else told | average


def run_id(config: Config) -> str:
    """Twelve hex digits over the semantic config and the seed: equal configs are one run."""
    return digest({"config": semantic(config), "seed": config.seed})[:12]


def run_folder(config: Config) -> Path:
    """Where the record of this run lives."""
    return Path(config.out) / config.data.name / config.model.name / run_id(config)


def recorded(config: Config) -> str:
    """config.yaml of the record."""
    text: str = yaml.safe_dump(as_recorded(config), sort_keys=False, width=120)
    return text


def as_recorded(config: Config) -> dict[str, Any]:
    """The config as plain data without the paths of the machine it ran on, and who was watching."""
    whole = asdict(config)
    whole.pop("out")
    whole.pop("tracking")
    whole["data"].pop("root")
    return whole
