"""Imports go one way: measure -> record <- analyse; models stand alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.paths import ROOT

HEAVY = {"torch", "torchvision", "hydra", "omegaconf", "wandb", "fvcore", "models"}

FORBIDDEN = {
    "harness/record": {"harness.measure", "harness.analyse"} | HEAVY,
    "harness/analyse": {"harness.measure"} | HEAVY,
    "harness/measure": {"harness.analyse"},
    "models": {"harness", "hydra", "wandb", "fvcore"},
}


def imports_of(path: Path) -> Iterator[str]:
    """Every module a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, f"{path}: relative imports from another room hide the direction"
            if node.level == 0:  # level 1 is the file's own folder
                yield node.module or ""
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def crosses(module: str, forbidden: set[str]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in forbidden)


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_arrow_points_the_wrong_way(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files, f"{room} is empty"
    wrong = [(str(f.relative_to(ROOT)), m) for f in files for m in imports_of(f) if crosses(m, FORBIDDEN[room])]
    assert wrong == []


def test_only_one_module_imports_wandb() -> None:
    importing = {
        str(f.relative_to(ROOT))
        for f in (ROOT / "harness").rglob("*.py")
        if any(crosses(m, {"wandb"}) for m in imports_of(f))
    }
    assert importing == {"harness/measure/mirror/wandb_process.py"}


def test_the_check_notices_a_wrong_arrow(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("def f():\n    from torch import nn\n")
    assert any(crosses(m, FORBIDDEN["harness/record"]) for m in imports_of(file))


def test_no_module_is_longer_than_a_sitting() -> None:
    long = {
        str(f.relative_to(ROOT)): n
        for room in ("harness", "models")
        for f in (ROOT / room).rglob("*.py")
        if (n := len(f.read_text().splitlines())) > 300
    }
    assert long == {}
