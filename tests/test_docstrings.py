"""Every public function that raises says what in its docstring."""

import ast
from collections.abc import Iterator

from harness.paths import ROOT

FILES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
    for room in ("harness", "models")
    for path in sorted((ROOT / room).rglob("*.py"))
}


def public(node: ast.AST) -> Iterator[ast.FunctionDef]:
    """Functions of a module and methods of its classes whose names are everybody's; not what stands inside them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from public(child)
        elif isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
            yield child


def raises(node: ast.AST) -> bool:
    """True where an exception is made and raised; one that is only passed on is its maker's to name."""
    if isinstance(node, ast.Raise):
        return node.exc is not None
    inside = (ast.FunctionDef, ast.ClassDef, ast.Lambda)
    return any(raises(child) for child in ast.iter_child_nodes(node) if not isinstance(child, inside))


def silent(tree: ast.AST) -> list[str]:
    """Names of the public functions that raise and do not say so."""
    return [f.name for f in public(tree) if raises(f) and "aise" not in (ast.get_docstring(f) or "")]


def test_whoever_raises_says_so() -> None:
    assert len(FILES) > 200
    assert {file: names for file, tree in FILES.items() if (names := silent(tree))} == {}


def test_the_check_notices_what_it_is_for() -> None:
    source = (
        'def told():\n    """Raises ValueError."""\n    raise ValueError\n'
        "def quiet():\n    if 1:\n        raise ValueError\n"
        "def passes_on():\n    try:\n        f()\n    except ValueError:\n        raise\n"
        "def makes():\n    def inner():\n        raise ValueError\n"
        "class C:\n    def method(self):\n        raise ValueError\n    def _own(self):\n        raise ValueError\n"
    )
    assert silent(ast.parse(source)) == ["quiet", "method"]
