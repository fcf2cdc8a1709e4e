import dataclasses
import json
from pathlib import Path

import pytest

from harness.record.curve import FIELDS, parse_columns, parse_rows
from harness.record.errors import RecordError
from tests.analyse.synthetic import Made, evaluations

WHERE = Path("curve.jsonl")
ROWS = evaluations(Made("alexnet", [0.1, 0.4, 0.6]))


@pytest.mark.parametrize("live", [None, 7])
@pytest.mark.parametrize("energy", [None, 12.5])
def test_columns_are_the_rows(energy, live):
    rows = [
        dataclasses.replace(row, energy_joules=energy, live_correct_top1=live, live_correct_top5=live) for row in ROWS
    ]
    columns = parse_columns("".join(row.as_line() for row in rows), WHERE)
    assert columns == {name: [getattr(row, name) for row in rows] for name in FIELDS}


def test_another_order_of_keys_is_read_all_the_same():
    text = "".join(json.dumps(dict(sorted(json.loads(row.as_line()).items()))) + "\n" for row in ROWS)
    assert parse_columns(text, WHERE) == parse_columns("".join(row.as_line() for row in ROWS), WHERE)
    assert parse_rows(text, WHERE) == ROWS


@pytest.mark.parametrize("bad", ['{"step": 1}\n', "[1]\n", '{"step": ', "7\n"])
def test_a_bad_line_is_named(bad):
    with pytest.raises(RecordError, match="line 2"):
        parse_columns(ROWS[0].as_line() + bad, WHERE)


def test_no_evaluation_gives_empty_columns():
    assert parse_columns("", WHERE) == {name: [] for name in FIELDS}
