import dataclasses
import json
from pathlib import Path

import pytest

from harness.record.curve import WATCHED, monotone_defects, parse_rows
from harness.record.errors import RecordError
from tests.analyse.synthetic import Made, evaluations

WHERE = Path("curve.jsonl")
ROWS = evaluations(Made("alexnet", [0.1, 0.4, 0.6]))


@pytest.mark.parametrize("live", [None, 7])
@pytest.mark.parametrize("energy", [None, 12.5])
@pytest.mark.parametrize("top5", [None, 700])
def test_a_line_holds_all_of_an_evaluation(energy: float | None, live: int | None, top5: int | None) -> None:
    changed = {"energy_joules": energy, "live_correct_top1": live, "live_correct_top5": live, "correct_top5": top5}
    rows = [dataclasses.replace(row, **changed, error_top1=top5) for row in ROWS]
    assert parse_rows("".join(row.as_line() for row in rows), WHERE) == rows


def test_another_order_of_keys_is_read_all_the_same() -> None:
    text = "".join(json.dumps(dict(sorted(json.loads(row.as_line()).items()))) + "\n" for row in ROWS)
    assert parse_rows(text, WHERE) == ROWS


@pytest.mark.parametrize("bad", ['{"step": 1}\n', "[1]\n", '{"step": ', "7\n"])
def test_a_bad_line_is_named(bad: str) -> None:
    with pytest.raises(RecordError, match="line 2"):
        parse_rows(ROWS[0].as_line() + bad, WHERE)


@pytest.mark.parametrize("name", WATCHED)
def test_a_run_that_knows_some_of_its_clocks_knows_all(name: str) -> None:
    lines = [row.as_line() for row in ROWS]
    told = json.loads(lines[1])
    del told[name]
    with pytest.raises(RecordError, match=f"line 2 .*lacks {name}"):
        parse_rows(lines[0] + json.dumps(told) + "\n", WHERE)
    every = "".join(json.dumps({k: v for k, v in json.loads(line).items() if k != name}) + "\n" for line in lines)
    with pytest.raises(RecordError, match=f"line 1 .*lacks {name}"):
        parse_rows(every, WHERE)


def test_a_curve_of_others_knows_none_of_them() -> None:
    rows = [dataclasses.replace(row, **dict.fromkeys(WATCHED)) for row in ROWS]
    text = "".join(row.as_line() for row in rows)
    assert parse_rows(text, WHERE) == rows


def test_no_evaluation_is_an_empty_curve() -> None:
    assert parse_rows("", WHERE) == []


def test_a_top5_that_one_line_lacks_is_absent_there_and_nowhere_0() -> None:
    rows = [dataclasses.replace(row, correct_top5=None if n == 1 else row.correct_top5) for n, row in enumerate(ROWS)]
    text = "".join(row.as_line() for row in rows)
    assert "correct_top5" not in text.splitlines()[1]
    assert parse_rows(text, WHERE) == rows
    with pytest.raises(ValueError, match="was not judged by top5"):
        rows[1].correct("top5")
    assert monotone_defects(rows) == []
