"""How often the intervals hold a planted truth: `python -m tests.bench coverage`. No clock is read; about ten minutes.

Writes results/coverage: coverage.json, and TABLE.md from it.
"""

import json
from pathlib import Path
from typing import Any

from harness.analyse.show.table import Table
from harness.paths import ROOT
from harness.record.files import write_atomic
from tests.analyse.coverage import QUANTITIES, bias, coverage
from tests.analyse.planted import HALVING_MONTHS, STEPS, Scenario

OUT = ROOT / "results" / "coverage"
REPETITIONS = 2_000
DRAWS = 500
CURVES = 2_000
SEEDS = (3, 5, 10)
WOBBLES = (0.01, 0.02, 0.03, 0.04)
CASES: dict[str, dict[str, float]] = {
    "on the line": {},
    "a quarter doubling off the line": {"scatter": 0.25},
    "one run in ten misses": {"miss": 0.1},
    "three runs in ten miss": {"miss": 0.3},
    "three in ten miss, off the line": {"miss": 0.3, "scatter": 0.25},
    "looks stray by 3 points": {"wobble": 0.03},
}
HEADINGS = {
    "cost": "cost",
    "factor": "factor",
    "line": "line",
    "least_squares": "least squares alone",
    "seeds": "seeds",
}


def run(repetitions: int = REPETITIONS, out: Path = OUT) -> dict[str, Any]:
    """Plant, analyse, count; write both files and return what coverage.json holds."""
    rows = []
    for case, settings in CASES.items():
        for seeds in SEEDS:
            found = coverage(Scenario(seeds, **settings), repetitions, DRAWS)
            rows.append({"case": case, "runs_each": seeds} | {name: round(found[name], 4) for name in QUANTITIES})
            print(case, seeds, *(f"{name} {found[name]:.3f}" for name in QUANTITIES), flush=True)
    document = {
        "repetitions": repetitions,
        "draws": DRAWS,
        "curves": CURVES,
        "coverage": rows,
        "bias": [{"wobble": w} | {f"confirm_{n}": round(bias(w, n, CURVES), 4) for n in (1, 2)} for w in WOBBLES],
    }
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "coverage.json", json.dumps(document, indent=1) + "\n")
    write_atomic(out / "TABLE.md", page(document))
    return document


def page(document: dict[str, Any]) -> str:
    """TABLE.md of a document."""
    lines = [
        [r["case"], str(r["runs_each"]), *(f"{100 * r[name]:.1f}" for name in QUANTITIES)] for r in document["coverage"]
    ]
    shares = Table.of(["planted", "runs each", *(HEADINGS[name] for name in QUANTITIES)], lines)
    off = [
        [f"{100 * b['wobble']:.0f} points", f"{100 * b['confirm_1']:+.1f} %", f"{100 * b['confirm_2']:+.1f} %"]
        for b in document["bias"]
    ]
    biases = Table.of(["looks stray by", "first crossing", "confirmed crossing"], off)
    return f"""# How often the intervals hold the truth

Made by `python -m tests.bench coverage` from planted data: {document["repetitions"]:,} ladders a row, each of
{STEPS} architectures whose true cost halves every {HALVING_MONTHS:.0f} months, drawn by a generator apart from the code
that judges them (tests/analyse/planted.py). Share of intervals that hold the planted truth, in %. All say 95 %, but for
the line where runs miss, which says 95 % or more.

{shares.markdown()}

* cost: of each architecture; factor: of AlexNet over the cheapest; line: the halving time, as the tables print it.
* least squares alone: takes each cost as known. Where runs miss it is too narrow, so the line's interval is then
  widened until it holds that of the seeds.
* Where few of many runs miss, ten runs that all reach leave too little doubt of the eleventh: the interval of a cost
  then holds the truth less often than it says (one run in ten, ten runs each).
* seeds: "if only the seeds were drawn again", against the line through the true costs of the very architectures drawn.

## Confirmed and first crossings

Curves that rise evenly and whose single looks stray (standard deviation in points of accuracy). Mean error of the
crossing over {document["curves"]:,} curves, against the look at which the curve without noise is at the level. Where
looks stray little there is no bias to mend: a confirmed crossing then comes a look late at times.

{biases.markdown()}
"""


if __name__ == "__main__":
    run()
