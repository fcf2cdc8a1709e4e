"""`harness completion SHELL`: verbs, options and overrides (`model=`, `recipe=`, ...) completed in bash or zsh."""

import argparse

import shtab

from harness.paths import CONF

BASH_WORDS = """
_harness_overrides() {
  # bash splits words at "=": complete the whole word, then give back what follows the last "="
  local word="${COMP_LINE:0:COMP_POINT}" match
  word="${word##* }"
  for match in $(compgen -W "%s" -- "$word"); do
    case "$word" in *=*) echo "${match#*=}" ;; *) echo "$match" ;; esac
  done
}
"""
ZSH_WORDS = """
_harness_overrides() { compadd -S '' -- %s }
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("shell", choices=("bash", "zsh"), help="print the script for this shell")


def main(args: argparse.Namespace) -> int:
    """Print a script that the shell loads; it starts no Python while completing."""
    words = " ".join(overrides())
    preamble = {"bash": BASH_WORDS % words, "zsh": ZSH_WORDS % words}
    parser = args.every_verb()
    for verb in parser._subparsers._group_actions[0].choices.values():
        for action in verb._actions:
            if action.metavar == "KEY=VALUE":
                action.complete = {"bash": "_harness_overrides", "zsh": "_harness_overrides"}
            elif action.metavar in ("DIR", "PATH", "FILE", "RUNS"):
                action.complete = shtab.FILE
    print(shtab.complete(parser, shell=args.shell, preamble=preamble))  # type: ignore[arg-type]
    return 0


def overrides() -> list[str]:
    """Every `group=option` of conf/, and the keys that scripts set most."""
    groups = ("model", "recipe", "data", "target", "tracking")
    words = [f"{group}={path.stem}" for group in groups for path in sorted((CONF / group).glob("*.yaml"))]
    words += [f"+experiment={path.stem}" for path in sorted((CONF / "experiment").glob("*.yaml"))]
    words += [f"hydra/launcher={path.stem}" for path in sorted((CONF / "hydra" / "launcher").glob("*.yaml"))]
    keys = ("seed", "out", "budget.epochs", "recipe.batch_size", "recipe.lr", "data.root", "data.resolution")
    more = ("data.classes", "data.images_per_class", "evaluations_per_epoch", "device", "precision", "deterministic")
    return words + [f"{key}=" for key in (*keys, *more)]
