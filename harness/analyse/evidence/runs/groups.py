"""Runs that may be compared: one data set, one target, one protocol. Anything else is kept apart, by name."""

from dataclasses import dataclass, field, replace

from harness.analyse.evidence.runs.plans import CALIBRATION, Plan
from harness.analyse.evidence.runs.run import Dataset, Run
from harness.record.errors import BadInput
from harness.record.protocol import comparability_key
from harness.record.target import Target
from harness.record.words import several


@dataclass
class Group:
    """Runs under one comparability key, judged at one target. `notes` says what was done to form it.

    calibration: runs on the same data that set a level; they tell its spread and give no cost.
    """

    dataset: Dataset
    target: Target
    protocol_version: int
    runs: list[Run]
    notes: list[str] = field(default_factory=list)
    calibration: list[Run] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Twelve hex digits over data set, target and protocol."""
        return comparability_key(self.dataset.fingerprint, self.target, self.protocol_version)

    @property
    def measured(self) -> list[Run]:
        """The runs of the fixed-plan protocol, foreign curves included: what the trend is fitted to."""
        return [t for t in self.runs if t.plan.kind != "search"]

    @property
    def searched(self) -> list[Run]:
        """The runs of searches for the shortest plan: reported beside, never mixed in."""
        return [t for t in self.runs if t.plan.kind == "search"]


@dataclass(frozen=True)
class Level:
    """A level asked for on the command line, without a cadence: each group brings its own.

    confirm: looks in a row that make a crossing; None where each group's own rule holds. also: further levels, as
    (metric, value), each judged by itself.
    """

    metric: str
    value: float
    split: str = "validation"
    source: str = "asked for"
    confirm: int | None = None
    also: tuple[tuple[str, float], ...] = ()

    def at(self, evaluations_per_epoch: int, confirm: int = 1) -> Target:
        """The target at a cadence, under `confirm` where the level has no rule of its own.

        Raises BadInput for a percent, an unknown metric or a rule that is none.
        """
        rule = confirm if self.confirm is None else self.confirm
        return Target(self.metric, self.value, self.split, evaluations_per_epoch, self.source, rule, also=self.also)


_Base = tuple[str, bool, int, int]


def group_runs(runs: list[Run], asked: Level | None = None) -> list[Group]:
    """Group by data set, target, protocol and cadence, in a stable order.

    A run with no target of its own (AlexNet's full schedule) joins every group of its data set; with `asked`, every
    run is judged at that level instead. A run that watches two levels joins a group of each, one of a search that of
    the level it looks for. A calibration run joins none: a seed that set the level never gives a cost. Raises BadInput
    where no run says which level is meant.
    """
    _one_date_each(runs)
    calibrations = [t for t in runs if t.plan.kind == CALIBRATION]
    runs = [t for t in runs if t.plan.kind != CALIBRATION]
    if not runs:
        raise BadInput("only calibration runs are here: they set a level (`harness target`) and give no cost")
    bases: dict[_Base, list[Run]] = {}
    for t in runs:
        base = (t.dataset.fingerprint, t.dataset.subset, t.protocol_version, t.evaluations_per_epoch)
        bases.setdefault(base, []).append(t)
    groups: list[Group] = []
    without_level: list[Run] = []
    for (_, _, protocol, cadence), members in sorted(bases.items()):
        if asked is not None:
            target = asked.at(cadence, looks_in_a_row(members, protocol))
            groups += [_group(members, level, protocol, []) for level in target.each()]
            continue
        by_target: dict[Target, list[Run]] = {}
        full: list[Run] = []
        for t in members:
            if (own_level := t.target or t.sought) is None:
                full.append(t)
            else:
                for level in own_level.each():  # a run that watches two levels is judged at each by itself
                    by_target.setdefault(level, []).append(t)
        by_key: dict[str, list[Target]] = {}  # two sources of one level are one target
        for target in by_target:
            by_key.setdefault(comparability_key(members[0].dataset.fingerprint, target, protocol), []).append(target)
        if not by_key:
            without_level += full
        for _, same in sorted(by_key.items()):
            same.sort(key=lambda t: t.source)
            own = [t for target in same for t in by_target[target]]
            notes = (
                [f"{several(len(full), 'run')} of a whole plan, with no level to stop at: counted here too"]
                if full
                else []
            )
            groups.append(_group(own + full, same[0], protocol, notes))
    if without_level and not groups:
        raise BadInput(
            f"none of {several(len(without_level), 'run')} names a target: give --target FILE (`harness target` makes "
            "one) or --metric top1 --value 0.56"
        )
    for group in groups:
        data = (group.dataset.fingerprint, group.dataset.subset)
        group.calibration = [t for t in calibrations if (t.dataset.fingerprint, t.dataset.subset) == data]
        if group.calibration:
            group.notes.append(f"set the level and give no cost: {several(len(group.calibration), 'calibration run')}")
        if without_level:
            group.notes.append(
                f"left out, on a data set that no target is for: {several(len(without_level), 'run')} without a target"
            )
    _tell_other_identities(groups)
    return sorted(groups, key=lambda g: (g.dataset.name, g.dataset.subset, g.target.metric, g.target.value, g.key))


def _tell_other_identities(groups: list[Group]) -> None:
    """A note where another group's data set looks the same but for the fingerprint: why the two stand apart."""
    for group in groups:
        own = group.dataset
        others = {g.dataset.fingerprint for g in groups if replace(g.dataset, fingerprint=own.fingerprint) == own}
        if others := others - {own.fingerprint}:
            told = ", ".join(fingerprint[:12] for fingerprint in sorted(others))
            group.notes.append(
                f"the images of this group have the fingerprint {own.fingerprint[:12]}; {told} has the same name and "
                "sizes, and other images, or the same ones in records from before identities were the same in every "
                "layout: they are not compared"
            )


def _one_date_each(runs: list[Run]) -> None:
    """Raise BadInput where the runs of an architecture name two publication dates: the trend cannot choose."""
    dates: dict[str, dict[str, Run]] = {}
    for t in runs:
        dates.setdefault(t.plan.model, {}).setdefault(t.published, t)
    for model, seen in sorted(dates.items()):
        if len(seen) > 1:
            said = ", ".join(f"{day} in {t.path}" for day, t in sorted(seen.items()))
            raise BadInput(f"{model} has {len(seen)} publication dates ({said}): correct one, or leave its runs out")


def looks_in_a_row(runs: list[Run], protocol: int) -> int:
    """Looks in a row that make a crossing of a level that no run brought: as strict as the runs' own targets.

    Where no run had one it is the protocol's default: the first look in protocol 1, a confirmed one since.
    """
    return max((t.target.confirm for t in runs if t.target is not None), default=1 if protocol == 1 else 2)


def _group(runs: list[Run], target: Target, protocol: int, notes: list[str]) -> Group:
    kept = _without_repeats(runs)
    if repeated := len(runs) - len(kept):
        notes.append(f"counted once: {several(repeated, 'run')} with the curve of another (one plan and seed)")
    return Group(kept[0].dataset, target, protocol, kept, notes)


def _without_repeats(runs: list[Run]) -> list[Run]:
    """Drop a run whose curve is the beginning of another's of the same plan and seed: it is no new evidence."""
    by_seed: dict[tuple[Plan, int], list[Run]] = {}
    for t in runs:
        by_seed.setdefault((t.plan, t.seed), []).append(t)
    kept = []
    for same in by_seed.values():
        same.sort(key=lambda t: (-t.counters.shape[1], t.path))
        chosen: list[Run] = []
        for t in same:
            if not any(_begins(t, longer) for longer in chosen):
                chosen.append(t)
        kept += chosen
    return sorted(kept, key=lambda t: t.path)


def _begins(short: Run, long: Run) -> bool:
    n = short.counters.shape[1]
    names = ("images", "correct_top1", "correct_top5", "total")
    return n > 0 and all((short.count(name) == long.count(name)[:n]).all() for name in names)
