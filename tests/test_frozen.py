"""run.json and trend.json are what their pages say and their frozen examples show, key by key (`tests/frozen.py`)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.paths import ROOT
from tests.frozen import GOLDEN, explained, keys, run_json, trend_json

FILES = {
    "run.json": (run_json, ROOT / "harness" / "record" / "folders" / "run.json.md"),
    "trend.json": (trend_json, ROOT / "harness" / "analyse" / "trend" / "trend.json.md"),
}


@pytest.mark.parametrize("name", FILES)
def test_its_keys_are_those_of_the_frozen_example(name: str, tmp_path: Path) -> None:
    make: Callable[[Path], dict[str, Any]] = FILES[name][0]
    frozen, made = keys(json.loads((GOLDEN / name).read_text(encoding="utf-8"))), keys(make(tmp_path))
    assert made == frozen, "where this is on purpose: python -m tests.frozen, and explain the key in the page"


@pytest.mark.parametrize("name", FILES)
def test_its_page_explains_every_key_and_no_other(name: str) -> None:
    example = json.loads((GOLDEN / name).read_text(encoding="utf-8"))
    assert explained(FILES[name][1]) == {key for key in keys(example) if not key.endswith("[]")}


def test_a_key_that_comes_or_goes_is_noticed() -> None:
    assert keys({"a": [{"b": 1}, {"b": None, "c": {"d": "x"}}], "missed": {"diverged": 1}}) == {
        "a": {"list"},
        "a[]": {"object"},
        "a[].b": {"integer", "null"},
        "a[].c": {"object"},
        "a[].c.d": {"text"},
        "missed": {"object"},
    }
