"""Text is UTF-8 in every file, whatever the locale; a terminal of another encoding gets replacements."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.paths import ROOT


def without_encoding(source: str) -> Iterator[int]:
    """The lines of `source` that open a text file in the locale's encoding."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        words = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        words += [k.value.value for k in node.keywords if k.arg == "mode" and isinstance(k.value, ast.Constant)]
        opens = isinstance(node.func, ast.Name) and node.func.id == "open"
        reads = isinstance(node.func, ast.Attribute) and node.func.attr in ("read_text", "write_text")
        if (reads or (opens and not any("b" in word for word in words))) and not any(
            k.arg == "encoding" for k in node.keywords
        ):
            yield node.lineno


def test_every_text_file_is_utf8() -> None:
    files = [path for room in ("harness", "models", "results") for path in sorted((ROOT / room).rglob("*.py"))]
    assert len(files) > 100
    assert [f"{f}:{line}" for f in files for line in without_encoding(f.read_text(encoding="utf-8"))] == []


def test_the_check_notices_what_it_is_for() -> None:
    source = "open('a')\nopen('a', 'rb')\np.read_text()\np.read_text(encoding='utf-8')\nopen('a', mode='wb')\n"
    assert list(without_encoding(source)) == [1, 3]


@pytest.mark.parametrize("words", [["replay"], ["aggregate", "results/runs/tiny_imagenet", "--draws", "50"]], ids=str)
def test_a_terminal_without_utf8_gets_replacements(words: list[str], tmp_path: Path) -> None:
    environment = os.environ | {
        "PYTHONIOENCODING": "ascii",
        "PYTHONUTF8": "0",
        "LC_ALL": "C",
        "MPLCONFIGDIR": str(tmp_path),
    }
    if words[0] == "aggregate":
        words = [*words, "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-m", "harness", *words], cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode("ascii")
    if words[0] == "aggregate":
        assert "\u2014" in (tmp_path / "out" / "TABLE.md").read_text(encoding="utf-8")
