"""`harness train`: one measured run, or a sweep of them: here, several at once, or on a cluster."""

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.measure.machine.importing import uncollected
from harness.measure.machine.output import make_lasting
from harness.measure.machine.signals import StopFlag
from harness.record.errors import EXIT_DONE, EXIT_ERROR, EXIT_INTERRUPTED, BadInput
from harness.record.folders.folder import is_finished, read_summary
from harness.verbs.at_once import in_parallel
from harness.verbs.words import add_overrides

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from harness.measure.sweep.job import Ended, Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_overrides(parser)
    parser.add_argument("--cfg", action="store_true", help="print the composed config and stop (--cfg job, too)")
    parser.add_argument("--detach", action="store_true", help="hydra/launcher=slurm: return once submitted")
    parser.add_argument("--json", action="store_true", help="print the summary of the run (of a sweep: a list)")


def main(args: argparse.Namespace) -> int:
    """Run what was asked; the exit code of a sweep is that of its first run that did not end with 0.

    Raises BadInput for --detach without Slurm.
    """
    make_lasting()
    stop = StopFlag().install()  # before torch is imported, which takes seconds: so no import of it above
    from harness.measure.config.compose import recorded
    from harness.measure.config.tracking import refuse_several_under_an_agent
    from harness.measure.sweep.expand import jobs_of

    words = without_hydras_word(args.overrides) if args.cfg else args.overrides
    jobs, launcher = jobs_of(words, multirun=args.multirun)
    if args.cfg:
        print("---\n".join(recorded(job.config) for job in jobs), end="")
        return EXIT_DONE
    refuse_several_under_an_agent([job.config.tracking.name for job in jobs])
    if any(job.config.budget.max_gpu_hours is not None for job in jobs):
        with uncollected():
            from harness.measure.sweep.forecast import forecast, respect_cap

        configs = [job.config for job in jobs]
        respect_cap(configs, forecast(configs))
    if launcher.name == "slurm":
        return _on_slurm(jobs, launcher, stop, detach=args.detach, as_json=args.json)
    if args.detach:
        raise BadInput("--detach: only with hydra/launcher=slurm, which goes on without this terminal")
    return _on_this_machine(jobs, launcher, stop, as_json=args.json)


def without_hydras_word(words: list[str]) -> list[str]:
    """The overrides of `--cfg job ...`: Hydra's option takes a word that says which config, and there is one here.

    Raises BadInput for another config than that of the run.
    """
    if other := {"hydra", "all"} & set(words):
        raise BadInput(f"--cfg {other.pop()}: only a run's own config is printed: give --cfg or --cfg job")
    return [word for word in words if word != "job"]


def _on_this_machine(jobs: "list[Job]", launcher: "DictConfig", stop: StopFlag, *, as_json: bool) -> int:
    with uncollected():
        from harness.measure.sweep.job import exit_code
        from harness.measure.sweep.local import local_config, processes_at_once

    local = local_config(launcher)
    at_once = min(len(jobs), processes_at_once(local, [job.config for job in jobs]))
    ended = _one_by_one(jobs, stop) if at_once == 1 else in_parallel(jobs, at_once, local.order, stop)
    failures = [one for one in ended if one.error is not None]
    if failures:
        print(f"harness: {len(failures)} of {len(jobs)} runs failed:", file=sys.stderr)
        print("\n".join(one.line for one in failures), file=sys.stderr)
    if as_json:
        _print_summaries([one.folder for one in ended if one.folder is not None], single=len(jobs) == 1)
    return exit_code(ended) or (EXIT_INTERRUPTED if len(ended) < len(jobs) else EXIT_DONE)


def _one_by_one(jobs: "list[Job]", stop: StopFlag) -> "list[Ended]":
    with uncollected():
        from harness.measure.sweep.here import run_here

    return run_here(jobs, stop, raises=len(jobs) == 1)


def _on_slurm(jobs: "list[Job]", launcher: "DictConfig", stop: StopFlag, *, detach: bool, as_json: bool) -> int:
    """Submit; unless detached, wait until nothing is left in the queue. 0 when every run has a record then.

    A signal before the submission prevents it, one during it is obeyed at its end (jobs not noted down would be
    submitted twice), one after it ends the waiting; what is submitted goes on.
    """
    from harness.measure.config.compose import run_folder
    from harness.measure.sweep import slurm

    runs = [slurm.pinned(job) for job in jobs]
    if stop.signal_name is not None:
        print("harness: interrupted; nothing was submitted", file=sys.stderr)
        return EXIT_INTERRUPTED
    submissions = slurm.submit(runs, slurm.slurm_config(launcher))
    root = Path(runs[0].config.out)
    print(f"watch it with: harness status --watch {root}", file=sys.stderr)
    if detach:
        return EXIT_DONE
    try:
        stop.restore()
        for number in (signal.SIGTERM, signal.SIGHUP):  # they end the waiting as Ctrl-C does
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
        if stop.signal_name is not None:
            raise KeyboardInterrupt  # while it was submitting
        slurm.wait(submissions)
    except KeyboardInterrupt:
        print("harness: interrupted; the jobs go on without this terminal", file=sys.stderr)
        return EXIT_INTERRUPTED
    folders = [run_folder(run.config) for run in runs]
    if as_json:
        _print_summaries(folders, single=False)
    missing = [folder for folder in folders if not is_finished(folder)]
    for folder in missing:
        print(f"harness: {folder}: no record; see harness status {root}", file=sys.stderr)
    return EXIT_ERROR if missing else EXIT_DONE


def _print_summaries(folders: list[Path], *, single: bool) -> None:
    summaries = [read_summary(folder) for folder in folders if is_finished(folder)]
    print(json.dumps(summaries[0] if single and summaries else summaries, indent=1))
