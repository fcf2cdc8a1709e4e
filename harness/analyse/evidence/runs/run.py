"""Finished runs in the compact form the analysis works on: columns of numbers in place of an object an evaluation."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analyse.evidence.runs.plans import Plan, recipe_settings
from harness.record.curve import Evaluation, parse_rows
from harness.record.errors import RecordError
from harness.record.folders import folder as record
from harness.record.folders.folder import CONFIG, CURVE, find_run_folders, is_finished, read_sealed, read_summary
from harness.record.target import METRICS, Target
from harness.record.words import several

READERS = 4
"""Threads that read records: small files wait for the disk, and waiting overlaps (half the time on a cold cache)."""

COUNTERS = (
    "images",
    "train_forward_macs",
    "train_backward_macs",
    "evaluation_macs",
    "lost_macs",
    "correct_top1",
    "correct_top5",
    "total",
)
CLOCKS = ("epoch", "train_seconds", "eval_seconds", "energy_joules")
_COUNTER_ROW = {name: row for row, name in enumerate(COUNTERS)}
_CLOCK_ROW = {name: row for row, name in enumerate(CLOCKS)}


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a run was trained and evaluated on; `fingerprint` identifies the content, subset included."""

    name: str
    fingerprint: str
    subset: bool
    train_images: int
    evaluation_images: int
    classes: int


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One finished run. `counters` is (8, evaluations) exact integers in the order of `COUNTERS`, `clocks` is
    (4, evaluations) float64 in the order of `CLOCKS`, NaN where no energy of this run alone was counted; `sought`: the
    level that a search for the shortest plan looks for, whose runs go to their plan's end and so have no target."""

    path: str
    run_id: str
    plan: Plan
    dataset: Dataset
    title: str
    published: str
    seed: int
    fidelity: tuple[tuple[str, Any], ...]
    target: Target | None
    evaluations_per_epoch: int
    protocol_version: int
    outcome: str
    hardware: str
    forward_macs: int
    sought: Target | None
    counters: NDArray[Any]
    clocks: NDArray[np.float64]
    declared: bool = False  # the experiment's word that this plan stands in the trend
    errors: NDArray[Any] | None = None  # (2, evaluations): images by which top-1, top-5 may be wrong, read off a plot

    def count(self, name: str) -> NDArray[Any]:
        """Exact integers of one counter, one per evaluation."""
        row: NDArray[Any] = self.counters[_COUNTER_ROW[name]]
        return row

    def clock(self, name: str) -> NDArray[np.float64]:
        """One clock (epochs, seconds, joules), one value per evaluation."""
        row: NDArray[np.float64] = self.clocks[_CLOCK_ROW[name]]
        return row

    def accuracy(self, metric: str) -> NDArray[np.float64]:
        """Fraction correct at each evaluation, by the same division as `harness.record.target.reached`.

        NaN where an imported curve was not judged by the metric.
        """
        fraction = (self.count(f"correct_{metric}") / self.count("total")).astype(np.float64)
        return np.where(self.judged(metric), fraction, np.nan)

    def error(self, metric: str) -> NDArray[Any]:
        """(evaluations,) images by which the count may be wrong: 0 where it was logged."""
        if self.errors is None:
            return np.zeros(self.counters.shape[1], dtype=np.int64)
        row: NDArray[Any] = self.errors[METRICS.index(metric)]
        return row

    def judged(self, metric: str) -> NDArray[np.bool_]:
        """(evaluations,) True where the metric was counted."""
        return np.asarray(self.count(f"correct_{metric}") != NOT_COUNTED, dtype=np.bool_)

    @property
    def ended_early(self) -> bool:
        """Whether it reached its level before its plan ended: what it would have shown later is not known."""
        epochs = self.clock("epoch")
        return self.outcome == "reached" and (not len(epochs) or bool(epochs[-1] < self.plan.planned_epochs))


NOT_COUNTED = -1
"""In an array of exact counts: this evaluation was not judged by this metric. `Run.judged` asks, nothing else."""


def exact(rows: list[list[int]]) -> NDArray[Any]:
    """Integers as int64, or as Python's own where one does not fit (above 9.2e18 MACs)."""
    try:
        return np.array(rows, dtype=np.int64)
    except OverflowError:
        return np.array(rows, dtype=object)


def hardware_label(hardware: dict[str, Any]) -> str:
    """One line that names the hardware as far as time and energy depend on it."""
    parts = [f"{hardware.get('world_size', 1)} x {hardware.get('device_name', 'unknown')}"]
    if hardware.get("device") == "cpu":
        parts += [several(threads, "thread")] if (threads := hardware.get("threads")) else []
    parts.append(str(hardware.get("precision", "unknown precision")))
    parts += ["compiled"] if hardware.get("compile") else []
    parts += ["one CUDA graph a step"] if hardware.get("cuda_graph") else []
    return ", ".join(parts)


def _errors(curve: Sequence[Evaluation]) -> NDArray[Any] | None:
    """Of a curve that was read off a plot; None of one that was logged, which is nearly every one."""
    told = [[getattr(look, f"error_{metric}") for look in curve] for metric in METRICS]
    if all(value is None for column in told for value in column):
        return None
    return np.array([[value or 0 for value in column] for column in told], dtype=np.int64)


def _columns(curve: Sequence[Evaluation], names: Sequence[str], absent: float) -> list[list[Any]]:
    """The curve's fields of these names, one list a field; `absent` stands where an evaluation lacks one."""
    return [[absent if (value := getattr(look, name)) is None else value for look in curve] for name in names]


def run_of(path: Path, summary: dict[str, Any], curve: Sequence[Evaluation], settings: str) -> Run:
    """The compact form of a finished run: run.json, its curve, `settings` as in `Plan`.

    Raises RecordError where run.json lacks what the analysis needs.
    """
    s = summary
    try:
        data = s["dataset"]
        clocks = np.array(_columns(curve, CLOCKS, np.nan), dtype=np.float64)
        if not s["hardware"].get("gpu_alone"):
            clocks[_CLOCK_ROW["energy_joules"]] = np.nan  # a GPU's counter has the joules of all who share it
        if not isinstance(s["title"], str):
            raise TypeError("its title is no text")
        return Run(
            path=str(path),
            run_id=s["run_id"],
            plan=Plan.of(s, settings),
            dataset=Dataset(**{name: data[name] for name in Dataset.__slots__}),
            title=s["title"],
            published=str(s["published"]),
            seed=int(s["seed"]),
            fidelity=tuple(sorted(s["fidelity"].items())),
            target=None if s["target"] is None else Target.from_dict(s["target"]),
            evaluations_per_epoch=int(s["evaluations_per_epoch"]),
            protocol_version=int(s["protocol_version"]),
            outcome=s["outcome"],
            hardware=hardware_label(s["hardware"]),
            forward_macs=int(s["bill"]["forward_macs"]),
            sought=_sought(s),
            declared=bool(s.get("declared", False)),
            counters=exact(_columns(curve, COUNTERS, NOT_COUNTED)),
            errors=_errors(curve),
            clocks=clocks,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{path}: run.json cannot be analysed ({error!r}); run it again") from error


def _sought(summary: dict[str, Any]) -> Target | None:
    """The level of a search; None in records of the bisection there was before, whose runs stopped at their target."""
    level = summary["search"].get("level") if summary["kind"] == "search" else None
    return None if level is None else Target.from_dict(level)


def read_run(folder: Path) -> Run:
    """One finished run, its hashes verified."""
    summary = read_summary(folder)
    files = read_sealed(folder, summary)
    curve = parse_rows(files[CURVE].decode(), folder / CURVE)
    return run_of(folder, summary, curve, recipe_settings(files[CONFIG].decode()))


def run_of_record(read: record.Run) -> Run:
    """The compact form of a run that was read whole."""
    settings = recipe_settings((read.path / CONFIG).read_text(encoding="utf-8"))
    return run_of(read.path, read.summary, read.curve, settings)


@dataclass(frozen=True, slots=True)
class Records:
    """What lies below a folder: finished runs, unfinished folders, and folder -> defect of records left out."""

    runs: list[Run]
    unfinished: list[Path]
    broken: dict[Path, str]


def read_records(root: Path, *, skip_broken: bool = False) -> Records:
    """Every finished run below `root`; with `skip_broken` damaged ones are left out and named.

    Raises RecordError (one line) where `root` is no folder, holds no finished run, or one is damaged.
    """
    finished: list[Path] = []
    unfinished: list[Path] = []
    for folder in find_run_folders(root):
        (finished if is_finished(folder) else unfinished).append(folder)
    with ThreadPoolExecutor(READERS) as pool:
        read = list(pool.map(_read_or_defect, finished))
    runs = [each for each in read if isinstance(each, Run)]
    broken = {folder: each for folder, each in zip(finished, read, strict=True) if isinstance(each, str)}
    if broken and not skip_broken:
        first, *others = broken.values()
        more = f" ({len(others)} more broken)" if others else ""
        raise RecordError(f"{first}{more}; aggregate and report leave out what is broken under --skip-broken")
    if not runs and broken:
        first = next(iter(broken.values()))
        raise RecordError(f"{root}: no finished run that can be read, {len(broken)} broken: {first}")
    if not runs:
        more = f" ({len(unfinished)} unfinished; start them again to resume)" if unfinished else ""
        raise RecordError(f"{root}: no finished run in it{more}; start one with `harness train`")
    return Records(runs, unfinished, broken)


def _read_or_defect(folder: Path) -> Run | str:
    """The run, or the line that says what is wrong with its record."""
    try:
        return read_run(folder)
    except RecordError as error:
        return str(error)
