"""`harness <verb>`: each verb lives in a module of its own, imported only when asked for."""

import argparse
import errno
import importlib
import io
import sys
from typing import NamedTuple

from harness.measure.machine.leaving import leave
from harness.measure.machine.output import is_lasting
from harness.record.errors import EXIT_ERROR, EXIT_INTERRUPTED, HarnessError
from harness.verbs.words import more_overrides


class Verb(NamedTuple):
    """Where a verb lives; the module has `add_arguments(parser)` and `main(args) -> exit code`."""

    module: str
    help: str
    example: str


VERBS = {
    "train": Verb("harness.verbs.train", "measure one run, or a sweep with -m", "harness train model=resnet18"),
    "plan": Verb("harness.verbs.plan", "what a run or a sweep would cost", "harness plan -m +experiment=remeasure"),
    "status": Verb("harness.verbs.status", "every run of a sweep, finished or not", "harness status results/runs"),
    "target": Verb(
        "harness.verbs.target",
        "AlexNet's level on a data set, from its full runs",
        "harness target results/runs/digits",
    ),
    "count": Verb("harness.verbs.count", "the bill per image of every architecture", "harness count resnet18 alexnet"),
    "aggregate": Verb(
        "harness.verbs.aggregate",
        "records -> table, trend, figure",
        "harness aggregate results/runs/digits --out out",
    ),
    "report": Verb(
        "harness.verbs.report",
        "records -> one HTML page to read and attach",
        "harness report results/runs/digits",
    ),
    "sync": Verb("harness.verbs.sync", "upload finished runs to W&B from their records", "harness sync results/runs"),
    "dashboard": Verb(
        "harness.verbs.dashboard",
        "the sweep's workspace on W&B, made by a command",
        "harness dashboard --group digits-small",
    ),
    "prepare": Verb(
        "harness.verbs.prepare",
        "pack an image folder once for fast reading",
        "harness prepare data=imagenet data.root=/path/to/imagenet --out /fast/imagenet-jpeg256",
    ),
    "search": Verb(
        "harness.verbs.search",
        "E90: the plan with which nine runs of ten end at the level",
        "harness search +experiment=fashion_ladder model=resnet18 target=fashion_ladder",
    ),
    "factors": Verb(
        "harness.verbs.factors",
        "split a gain into recipe and architecture",
        "harness factors results/runs --start alexnet:era --end efficientnet_b0:modern",
    ),
    "power": Verb(
        "harness.verbs.power",
        "what it takes to tell two costs or halving times apart",
        "harness power results/runs/tiny_imagenet --halving-months 16 24",
    ),
    "import-curves": Verb(
        "harness.verbs.import_curves",
        "foreign learning curves -> records marked imported",
        "harness import-curves curves.csv --out results/runs --source 'arXiv 1512.03385, figure 4'",
    ),
    "check": Verb("harness.verbs.check", "audit records: hashes, ledger, target, MACs", "harness check results"),
    "completion": Verb("harness.verbs.completion", "completion script for bash or zsh", "harness completion bash"),
    "replay": Verb("harness.verbs.replay", "the published study, rebuilt from its constants", "harness replay"),
}


def build_parser(verb: str | None) -> argparse.ArgumentParser:
    """The parser; only the arguments of `verb` are loaded (all of them for completion, with verb None)."""
    parser = argparse.ArgumentParser(
        prog="harness",
        description="Train every ImageNet architecture to AlexNet's accuracy, bill the arithmetic, fit the trend.",
        epilog="harness VERB --help explains a verb. Start with: make demo",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, (module, text, example) in VERBS.items():
        sub = verbs.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=f"example: {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # --seed=3 is the word seed=3, never the option --seeds
        )
        if verb in (name, None):
            importlib.import_module(module).add_arguments(sub)
    parser.set_defaults(every_verb=lambda: build_parser(None))  # for the verb `completion`
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; expected failures become one line on stderr and their exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    verb = next((word for word in arguments if not word.startswith("-")), "")
    parser = build_parser(verb)
    args, rest = parser.parse_known_args(arguments)
    if rest and not hasattr(args, "overrides"):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if rest:  # argparse takes positionals in one stretch; people write them around the options
            args.overrides += more_overrides(rest)
        code = int(importlib.import_module(VERBS[args.verb].module).main(args))
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()  # what could not be written is told here, not after everything
        return code
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("harness: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        if is_lasting():
            raise  # not of our output, which cannot break
        sys.stderr.close()  # the reader of our output has gone, as in `harness replay | head -1`
        return 0
    except SystemExit as left:
        if isinstance(left.__context__, BrokenPipeError):
            return 0  # the same, met by rich
        raise
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"harness: {error}: make room, and start it again", file=sys.stderr)
        return EXIT_ERROR


def entry() -> None:
    """The console script. A terminal that cannot show a character gets a replacement, and the verb goes on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    code = main()
    if "torch" in sys.modules:
        leave(code)
    sys.exit(code)
