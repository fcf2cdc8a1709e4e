"""Do the recipes train? Every card under every recipe on Fashion-MNIST at 64 pixels, until it has learned something.

The whole run is the harness's own; only the size is scaled down, by one rule: batch 16; the learning rate falls with
the batch, linearly, but by its square root for adamw and for networks without normalisation; warm-up and drops keep
their share of the plan; phases of other resolutions are left out. A row ends as soon as two looks in a row are at twice
chance, and at the latest after the plan. A network without normalisation that stands still under the root is tried once
more linearly, and the row says so: SqueezeNet has a ReLU behind its logits, and a step too large silences them. RMSprop
that stands still linearly is tried once more under the root: as with Adam, the size of a step hardly depends on that of
a gradient.
What a card calls unsuited is not trained. A row is kept as soon as it is known and not run again, so that the suite can
be stopped at any time. Losses are not timings: a loaded machine gives the same.

Why so long a plan, and why the root: without normalisation the outputs of a fresh network hardly depend on the image,
and the loss stands still for a number of steps that grows as the rate falls: thousands under linear scaling. The root
is what theory suggests, says AlexNet's author (Krizhevsky 2014, arXiv 1404.5997). And a BatchNorm of momentum 0.01,
as TensorFlow's papers have it, follows over some hundreds of steps, before which an evaluation says nothing.
"""

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from harness.models import ZOO
from torch import nn

from harness.measure.config import cards
from harness.measure.config.compose import compose
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run as run_once
from harness.measure.training import loop
from harness.paths import ROOT
from harness.record.folders.folder import read_run
from harness.record.provenance import source_commit

OUT = ROOT / "results" / "recipes"
RECIPES = ("era", "modern", "anytime", "paper2020", "small")
BATCH, EPOCHS, IMAGES_PER_CLASS = 16, 40, 80
EARLY = 10  # steps in which the largest relative change of a weight is looked for
CHANCE = 0.1
LEARNED = 2 * CHANCE


def scalings(model: str, recipe: str) -> tuple[str, ...]:
    """How a row's learning rate falls with the batch, and what is tried where that does not learn."""
    optimizer = compose([f"model={model}", f"recipe={recipe}"]).recipe.optimizer
    if optimizer == "adamw":
        return ("root",)
    if optimizer == "rmsprop":
        return ("linear", "root")
    return ("linear",) if normalised(model) else ("root", "linear")


def overrides(model: str, recipe: str, scaling: str) -> list[str]:
    """The run of a row, scaled down from the recipe by the rule above."""
    words = [
        f"model={model}",
        "data=fashion_mnist",
        "target.metric=top1",
        f"target.value={LEARNED}",
        f"recipe={recipe}",
    ]
    full = compose(words).recipe
    share, shorter = BATCH / full.batch_size, EPOCHS / full.epochs
    rate = full.lr * {"linear": share, "root": math.sqrt(share)}[scaling]
    return [
        *words,
        f"data.images_per_class={IMAGES_PER_CLASS}",
        "data.evaluation_images_per_class=20",
        f"recipe.batch_size={BATCH}",
        "recipe.accumulation_steps=1",
        f"recipe.lr={rate:.6g}",
        f"recipe.warmup_epochs={full.warmup_epochs * shorter:.4g}",
        f"recipe.schedule_every_epochs={max(1, round(full.schedule_every_epochs * shorter))}",
        "recipe.resolution_schedule=[]",
        f"budget.epochs={EPOCHS}",
        *("device=cpu", "threads=1", "precision=fp32", "checkpoint_at_evaluations=false", "checkpoint_minutes=1000"),
    ]


def normalised(model: str) -> bool:
    """Whether a network has normalisation layers (local response normalisation is none: it centres nothing)."""
    norms = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
    return any(isinstance(module, norms) for module in cards.skeleton(model, resolution=64).modules())


def rows() -> Iterator[tuple[str, str]]:
    """Cards and recipes; the cheap cards first, the papers' own recipes before the rest."""
    ordered = sorted(ZOO, key=lambda name: cards.read_card(name, resolution=224)["forward_macs"])
    return ((model, recipe) for recipe in RECIPES for model in ordered if not unsuited(model, recipe))


def unsuited(model: str, recipe: str) -> bool:
    """Whether a card says that a recipe does not suit it."""
    return "unsuited" in cards.read_card(model, resolution=224)["recipes"].get(recipe, {})


def measure(model: str, recipe: str) -> dict[str, Any]:
    """Train one row, by the first scaling under which it learns, and say what became of it."""
    tried = []
    for scaling in scalings(model, recipe):
        tried.append(train(model, recipe, scaling))
        if tried[-1]["learns"]:
            break
    return tried[-1] | {"stood_still": [row["scaling"] for row in tried[:-1]]}


def train(model: str, recipe: str, scaling: str) -> dict[str, Any]:
    """Train one row under one scaling."""
    losses: list[float] = []
    changes: list[float] = []
    original = loop.optimise_step

    def watched(training: loop.Training, *args: Any) -> torch.Tensor:
        weights = [p for p in training.model.parameters() if p.ndim > 1]
        before = [p.detach().clone() for p in weights] if len(changes) < EARLY else []
        loss = original(training, *args)
        losses.append(float(loss))
        if before:
            pairs = zip(weights, before, strict=True)
            moved = [float((p.detach() - b).norm() / b.norm().clamp(min=1e-12)) for p, b in pairs]
            changes.append(max(moved))
        return loss

    words = overrides(model, recipe, scaling)
    loop.optimise_step = watched
    try:
        with tempfile.TemporaryDirectory() as scratch:
            done = read_run(run_once(compose([*words, f"out={scratch}"]), overrides=words, stop=StopFlag()).folder)
    finally:
        loop.optimise_step = original
    last = done.curve[-1] if done.curve else None
    seen = max(1, min(10, len(losses)))
    row = {
        "model": model,
        "recipe": recipe,
        "scaling": scaling,
        "optimizer": compose(words).recipe.optimizer,
        "lr": compose(words).recipe.lr,
        "steps": len(losses),
        "start_loss": round(sum(losses[:3]) / min(3, max(1, len(losses))), 4),
        "end_loss": round(sum(losses[-seen:]) / seen, 4),
        "top1": None if last is None else last.correct_top1 / last.total,
        "live_top1": None if last is None or last.live_correct_top1 is None else last.live_correct_top1 / last.total,
        "largest_change": round(max(changes), 5),
        "diverged": done.outcome == "diverged",
        "overrides": words,
    }
    return row | {"learns": done.outcome == "reached"}


def run(out: Path = OUT) -> None:
    """Every row that is not known yet, each written as soon as it is there, and the table."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "recipes.jsonl"
    known = read(file)
    for model, recipe in rows():
        if (model, recipe) in known:
            continue
        row = known[model, recipe] = measure(model, recipe) | {"commit": source_commit()}
        with open(file, "a") as lines:
            lines.write(json.dumps(row) + "\n")
        (out / "README.md").write_text(table(known))


def read(file: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows that are known."""
    lines = file.read_text().splitlines() if file.exists() else []
    return {(row["model"], row["recipe"]): row for row in map(json.loads, lines)}


def table(known: dict[tuple[str, str], dict[str, Any]]) -> str:
    """The rows as Markdown, those still missing named below."""
    lines = [
        "# Do the recipes train?",
        "",
        f"Every card under its recipes on Fashion-MNIST at 64 pixels: {10 * IMAGES_PER_CLASS} images, batch "
        f"{BATCH}, {EPOCHS} planned epochs of {10 * IMAGES_PER_CLASS // BATCH} steps, seed 0, n = 1. A row ends "
        "once two looks in a row (one an epoch, 200 unseen images, the weights that the recipe judges) are at "
        f"{LEARNED:.0%}, twice chance: then it *learns*. The learning rate is the recipe's, scaled with the batch: "
        "linearly, but by the square root for adamw and for networks without normalisation, which would stand "
        "still at the start for thousands of steps (*linear: root stood still* where the root was too much; "
        "*root: linear stood still* for RMSprop, where linear was too little); "
        "warm-up and drops keep their share of the plan. *change*: the "
        "largest relative change of a weight tensor in one of the first ten steps. It shows that a recipe does "
        "not diverge and that a network begins to learn, and after how many steps, not how well it ends. "
        "Generated: `python -m tests.bench recipes`, which goes on where it stopped.",
        "",
        "| model | recipe | optimiser | scaled | lr | steps | loss, start | end | top-1 | live | change | diverged "
        "| learns |",
        "|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|---|---|",
    ]
    for key in rows():
        if (r := known.get(key)) is None:
            continue
        top1, live = (("-" if v is None else f"{v:.1%}") for v in (r["top1"], r["live_top1"]))
        scaled = r["scaling"] + "".join(f": {other} stood still" for other in r["stood_still"])
        said = ("yes" if r["diverged"] else "no", "yes" if r["learns"] else "NO")
        lines.append(
            f"| {r['model']} | {r['recipe']} | {r['optimizer']} | {scaled} | {r['lr']:g} | {r['steps']} "
            f"| {r['start_loss']:.3f} | {r['end_loss']:.3f} | {top1} | {live} | {r['largest_change']:.4f} "
            f"| {said[0]} | {said[1]} |"
        )
    missing = [f"{model} {recipe}" for model, recipe in rows() if (model, recipe) not in known]
    left_out = [f"{model} {recipe}" for recipe in RECIPES for model in ZOO if unsuited(model, recipe)]
    lines += ["", f"Not trained, for the card says that the recipe does not suit: {', '.join(sorted(left_out))}."]
    lines += ["", f"Not run yet: {', '.join(missing)}." if missing else "All rows are there.", ""]
    return "\n".join(lines)
