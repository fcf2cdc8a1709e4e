"""`make results`: a ladder measured under protocol 1, judged again by protocol 2's rules as far as its curves allow.

Protocol 2 needs what these records lack: calibration runs, and curves that go on past the level. What can be asked of
them is asked at the lowest levels of the reference's own runs, far enough below the old one that the curves answer.
"""

from pathlib import Path
from typing import Any

from harness.analyse import read_runs
from harness.analyse.evidence.ladder import REFERENCE
from harness.analyse.evidence.runs.groups import Group, Level, group_runs
from harness.analyse.evidence.runs.run import Run
from harness.analyse.evidence.titles import named, short_title
from harness.analyse.show.table import Table
from harness.analyse.show.templates import environment
from harness.analyse.show.words import MISSING, interval, number, percents, times
from harness.analyse.trend.document import Settings, group_document
from harness.paths import ROOT
from harness.record.files import write_atomic

LADDER = "fashion_mnist_protocol1"
TEMPLATES = environment(Path(__file__).parent / "templates")
CONFIRM = 2


def main(runs: Path = ROOT / "results" / "runs" / LADDER, out: Path = ROOT / "results" / LADDER) -> None:
    """Write PROTOCOL2.md; raises RecordError where a record is damaged."""
    every = read_runs(runs)
    (own,) = group_runs(every)
    level = lowest(own)
    readings = [
        ("protocol 1's level, first crossing", own),
        ("the same level, confirmed", at(every, own.target.value)),
        ("lowest best look of the reference, confirmed", at(every, level["best"])),
        ("lowest final of the reference, confirmed", at(every, level["final"])),
    ]
    documents = [(words, group_document(group, Settings(draws=10_000, seed=0))) for words, group in readings]
    page = TEMPLATES.get_template("rejudged.md.j2").render(
        data=named(own.dataset.name),
        level=level,
        runs=len([t for t in own.measured if t.plan.model == REFERENCE]),
        summary=summary(documents).markdown(),
        costs=costs(documents[0][1], documents[-1][1]).markdown(),
        old=words_of(documents[0][1]),
        new=words_of(documents[-1][1]),
    )
    write_atomic(out / "PROTOCOL2.md", page)
    print(f"wrote {out / 'PROTOCOL2.md'}")


def at(runs: list[Run], value: float) -> Group:
    """All runs judged at a top-1 level by protocol 2's crossing."""
    (group,) = group_runs(runs, Level("top1", value, confirm=CONFIRM))
    return group


def lowest(group: Group) -> dict[str, float]:
    """The lowest of the reference's best looks, and of its last ones; protocol 2 takes the latter, of other runs."""
    accuracies = [t.accuracy(group.target.metric) for t in group.measured if t.plan.model == REFERENCE]
    return {"best": min(float(a.max()) for a in accuracies), "final": min(float(a[-1]) for a in accuracies)}


def words_of(document: dict[str, Any]) -> str:
    """A level and its rule."""
    target = document["target"]
    return f"{100 * target['value']:.1f} %, {'first look' if target['confirm'] == 1 else 'confirmed'}"


def summary(documents: list[tuple[str, dict[str, Any]]]) -> Table:
    """A line a reading: level, reference, factor, halving time, and the study's rule."""
    lines = []
    for words, document in documents:
        trend, rule = document["trend"], document["trend"]["study_rule"]
        own = next(r for r in document["rows"] if r["in_trend"] and r["model"] == trend["reference"])
        lines.append(
            [
                words,
                f"{100 * document['target']['value']:.1f} %",
                f"{own['reached']}/{own['n']}",
                str(unanswered(document)),
                times(trend["reduction_factor"], at_least=trend["reference_censored"]),
                interval(trend["reduction_interval"]),
                number(trend["halving_months"]),
                interval(trend["halving_interval"]),
                interval(trend["halving_interval_ols"]),
                times(rule["reduction_factor"]),
                number(rule["halving_months"]),
                fitness(document),
            ]
        )
    header = [
        "judged at",
        "level",
        "AlexNet reaches",
        "runs that ended too early",
        "factor",
        "95 %, seeds",
        "months a halving",
        "95 %, seeds drawn again",
        "95 %, least squares",
        "the study's rule: factor",
        "months",
        "median cost, level 1 sd down, up",
    ]
    return Table.of(header, lines)


def unanswered(document: dict[str, Any]) -> int:
    """Runs that stopped at their own target before this question was answered; they count as misses here."""
    return sum(r["missed"].get("stopped at another target", 0) for r in document["rows"] if r["in_trend"])


def fitness(document: dict[str, Any]) -> str:
    """The change of the median network's cost with the level moved by its own spread."""
    found = document["trend"]["fitness"]
    if found is None:
        return MISSING
    sides = [MISSING if found[way] is None else f"{100 * found[way]:+.0f} %" for way in ("down", "up")]
    return ", ".join(sides)


def costs(old: dict[str, Any], new: dict[str, Any]) -> Table:
    """Both costs of every architecture, side by side."""
    mine = {r["model"]: r for r in new["rows"] if r["in_trend"]}
    lines = []
    for row in sorted((r for r in old["rows"] if r["in_trend"]), key=lambda r: (r["published"], r["model"])):
        cells = [short_title(row["title"]), row["published"]]
        for r in (row, mine[row["model"]]):
            cost = number(r["cost"]) if r["cost"] is not None else f"> {number(r['cost_above'])}"
            cells += [f"{r['reached']}/{r['n']}", percents(r["reached_interval"]), cost, times(r["factor"])]
        lines.append(cells)
    columns = [f"{name}, {words}" for words in ("old", "new") for name in ("reached", "share", "PFLOP", "factor")]
    return Table.of(["architecture", "date", *columns], lines)


if __name__ == "__main__":
    main()
