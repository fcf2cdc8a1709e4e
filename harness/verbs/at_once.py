"""Several runs at once on this machine under one view, for every verb that starts some."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.measure.machine.signals import StopFlag
from harness.record.errors import EXIT_INTERRUPTED
from harness.record.folders.folder import is_finished
from harness.record.folders.survey import Status, outcome_of, status_of

if TYPE_CHECKING:
    from harness.measure.sweep.job import Ended, Job
    from harness.measure.sweep.parallel import Watched


def in_parallel(jobs: "list[Job]", at_once: int, order: str, stop: StopFlag) -> "list[Ended]":
    """What became of them, in the order asked for. order: `longest` begins with the longest forecast."""
    from harness.measure.sweep.parallel import longest_first, run_parallel
    from harness.verbs.view import View

    places = {id(job): place for place, job in enumerate(jobs)}
    final: dict[int, Status] = {}  # of those that have ended: hundreds of records are not read every second
    with View() as view:

        def watch(seen: "Sequence[Watched]", *, last: bool) -> None:
            if last or view.is_due():
                note = "" if stop.signal_name is None else f"{stop.signal_name}: every run saves, then all is left"
                shown = [final.get(id(one.job)) or _status(one) for one in seen]
                final.update({id(one.job): status for one, status in zip(seen, shown, strict=True) if one.ended})
                view.show(shown, at_once, note)

        ended = run_parallel(longest_first(jobs) if order == "longest" else jobs, at_once, stop, watch)
    return sorted(ended, key=lambda one: places[id(one.job)])


def _status(watched: "Watched") -> Status:
    """A job of this process's sweep as the view shows it."""
    config, ended = watched.job.config, watched.ended
    if is_finished(watched.folder):
        state, note = outcome_of(watched.folder)
    elif ended is not None:
        state, note = ("interrupted" if ended.code == EXIT_INTERRUPTED else "failed"), ended.error or ""
    else:
        state, note = watched.state, ""
    return status_of(
        watched.folder, state, note, model=config.model.name, seed=config.seed, planned_epochs=config.budget.epochs
    )
