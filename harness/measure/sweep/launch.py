"""`harness train`: one measured run, or a sweep of them, here or on a cluster."""

import argparse
import itertools
import json
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.measure.machine.signals import StopFlag
from harness.record.errors import EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED, BadInput, HarnessError
from harness.record.folder import is_finished, read_summary

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from harness.measure.config.schema import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_overrides(parser)
    parser.add_argument("--cfg", action="store_true", help="print the composed config and stop")
    parser.add_argument("--detach", action="store_true", help="hydra/launcher=slurm: return once submitted")
    parser.add_argument("--json", action="store_true", help="print the summary of the run (of a sweep: a list)")


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """The words that name runs, shared with `harness plan`."""
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides, e.g. model=alexnet seed=1")
    parser.add_argument("-m", "--multirun", action="store_true", help="sweep over comma-separated values")


def main(args: argparse.Namespace) -> int:
    """Run what was asked; the exit code of a sweep is that of its first run that did not end with 0."""
    stop = StopFlag().install()  # before torch is imported, which takes seconds
    from harness.measure.config.compose import compose, recorded

    jobs, launcher = plan_jobs(args.overrides, multirun=args.multirun)
    configs = [compose(job) for job in jobs]  # all of them before the first starts
    if args.cfg:
        print("---\n".join(recorded(config) for config in configs), end="")
        return EXIT_DONE
    _respect_cap(configs)
    if launcher.name == "slurm":
        return _on_slurm(jobs, launcher, stop, detach=args.detach, as_json=args.json)
    if args.detach:
        raise BadInput("--detach: only with hydra/launcher=slurm, which goes on without this terminal")
    return _here(jobs, configs, stop, as_json=args.json)


def run_alone(job: list[str]) -> int:
    """One run in a process of its own, as a Slurm job starts it; returns the exit code."""
    stop = StopFlag().install()
    from harness.measure.config.compose import compose
    from harness.measure.run import run

    try:
        return run(compose(job), overrides=job, stop=stop).exit_code
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)
        return error.exit_code


def plan_jobs(overrides: list[str], *, multirun: bool) -> "tuple[list[list[str]], DictConfig]":
    """The overrides of every run that was asked for, and the launcher's config node."""
    from harness.measure.config.compose import compose_node, take_target_file

    parsed = _parse(overrides)
    fixed = [text for override, text in zip(parsed, overrides, strict=True) if not override.is_sweep_override()]
    hydra = compose_node(take_target_file(fixed)[0], with_hydra=True).hydra
    swept: dict[str, Any] = hydra.sweeper.get("params") or {}  # of an experiment, e.g. +experiment=remeasure
    if not multirun and swept:
        raise BadInput(f"this experiment is a sweep over {', '.join(swept)}: add -m")
    named = {override.get_key_element() for override in parsed}
    sweep = [f"{key}={values}" for key, values in swept.items() if key not in named]
    words = [*overrides, *sweep]
    jobs = expand(words) if multirun else [words]
    return [[word for word in job if not word.lstrip("+~").startswith("hydra")] for job in jobs], hydra.launcher


def expand(overrides: list[str]) -> list[list[str]]:
    """Every combination of comma-separated values, the last one varying fastest."""
    choices = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [text]
        for override, text in zip(_parse(overrides), overrides, strict=True)
    ]
    return [list(job) for job in itertools.product(*choices)]


def _parse(overrides: list[str]) -> list[Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return list(OverridesParser.create().parse_overrides(overrides))
    except HydraException as error:
        raise BadInput(str(error).splitlines()[0]) from error


def _here(jobs: list[list[str]], configs: "list[Config]", stop: StopFlag, *, as_json: bool) -> int:
    """The runs one after the other; one that fails does not keep the others from running."""
    from harness.measure.run import run

    folders: list[Path] = []
    failures: list[str] = []
    worst = EXIT_DONE
    for job, config in zip(jobs, configs, strict=True):
        try:
            result = run(config, overrides=job, stop=stop)
            folders.append(result.folder)
            code = result.exit_code
        except Exception as error:
            if len(jobs) == 1:
                raise
            if not isinstance(error, HarnessError):
                traceback.print_exc()
            failures.append(f"{' '.join(job)}: {str(error) or type(error).__name__}")
            print(f"harness: {failures[-1]}", file=sys.stderr)
            code = error.exit_code if isinstance(error, HarnessError) else EXIT_ERROR
        worst = worst or code
        if code == EXIT_INTERRUPTED:
            break
    if failures:
        print("\n".join([f"harness: {len(failures)} of {len(jobs)} runs failed:", *failures]), file=sys.stderr)
    if as_json:
        _print_summaries(folders, single=len(jobs) == 1)
    return worst


def _on_slurm(jobs: list[list[str]], launcher: "DictConfig", stop: StopFlag, *, detach: bool, as_json: bool) -> int:
    """Submit; unless detached, wait until nothing is left in the queue. 0 when every run has a record then.

    A signal before the submission prevents it, one during it is obeyed at its end (jobs not noted down would be
    submitted twice), one after it ends the waiting; what is submitted goes on.
    """
    from harness.measure.config.compose import run_folder
    from harness.measure.sweep import slurm as cluster

    runs = [cluster.pinned(job) for job in jobs]
    if stop.signal_name is not None:
        print("harness: interrupted; nothing was submitted", file=sys.stderr)
        return EXIT_INTERRUPTED
    submissions = cluster.submit(runs, cluster.slurm_config(launcher))
    root = Path(runs[0][1].out)
    print(f"watch it with: harness status {root}", file=sys.stderr)
    if detach:
        return EXIT_DONE
    try:
        stop.restore()
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the waiting as Ctrl-C does
        if stop.signal_name is not None:
            raise KeyboardInterrupt  # while it was submitting
        cluster.wait(submissions)
    except KeyboardInterrupt:
        print("harness: interrupted; the jobs go on without this terminal", file=sys.stderr)
        return EXIT_INTERRUPTED
    folders = [run_folder(config) for _, config in runs]
    if as_json:
        _print_summaries(folders, single=False)
    missing = [folder for folder in folders if not is_finished(folder)]
    for folder in missing:
        print(f"harness: {folder}: no record; see harness status {root}", file=sys.stderr)
    return EXIT_ERROR if missing else EXIT_DONE


def _print_summaries(folders: list[Path], *, single: bool) -> None:
    summaries = [read_summary(folder) for folder in folders if is_finished(folder)]
    print(json.dumps(summaries[0] if single and summaries else summaries, indent=1))


def _respect_cap(configs: "list[Config]") -> None:
    """Refuse a sweep whose forecast is above budget.max_gpu_hours."""
    if any(config.budget.max_gpu_hours is not None for config in configs):
        from harness.measure.sweep.forecast import forecast, respect_cap

        respect_cap(configs, forecast(configs))
