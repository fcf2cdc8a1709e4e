"""The tests keep to what a user could call: they read no private name of the project."""

import ast
from collections.abc import Iterator

from harness.paths import ROOT

DOCUMENTED = ("_saved_", "_input_metadata", "_forward_hooks", "_BatchNorm", "_NormBase", "_exit", "_dynamo")
"""What autograd's nodes, torch's modules and os say in no other way; the second counter is built on it."""

TREES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "tests").rglob("*.py"))
}


def private(name: str) -> bool:
    """Whether a name is its owner's own affair."""
    return name.startswith("_") and not name.endswith("__") and not name.startswith(DOCUMENTED)


def private_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name) of every private name of another that is imported, read, set or patched, also through a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, alias.name) for alias in node.names if private(alias.name))
        elif isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if private(node.attr) and not own:
                yield node.lineno, node.attr
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("getattr", "setattr", "delattr", "hasattr") and len(node.args) > 1:
                name = node.args[1]
                if isinstance(name, ast.Constant) and isinstance(name.value, str) and private(name.value):
                    yield node.lineno, name.value


def test_the_tests_read_no_private_name() -> None:
    assert len(TREES) > 50
    found = [f"{file}:{line}: {name}" for file, tree in TREES.items() for line, name in private_names(tree)]
    assert found == []


def test_the_check_notices_what_it_is_for() -> None:
    source = (
        "from harness.a import _b\n"
        "c._d\n"
        "self._e\n"
        "monkeypatch.setattr(c, '_f', 1)\n"
        "getattr(c, '_g')\n"
        "c.__name__\n"
        "node._saved_self\n"
        "c.__h\n"
    )
    assert sorted(private_names(ast.parse(source))) == [(1, "_b"), (2, "_d"), (4, "_f"), (5, "_g"), (8, "__h")]
