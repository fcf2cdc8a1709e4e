"""The plan of the house: imports go down a floor, never up, never in a circle; every room has a README that is true."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli import VERBS
from harness.paths import ROOT
from harness.record.folders.folder import CONFIG

HEAVY = {"torch", "torchvision", "hydra", "omegaconf", "wandb", "fvcore"}

# A room may import from itself, and from the rooms named here; the longest name that fits a module is its room.
MAY_IMPORT = {
    "harness.paths": set(),
    "harness.models": set(),
    "harness.record": {"harness.paths"},
    "harness.record.folders": {"harness.record", "harness.paths"},
    "harness.measure.config": {"harness.record", "harness.paths", "harness.models"},
    "harness.measure.bill.rules": {"harness.record"},
    "harness.measure.bill": {
        "harness.measure.bill.rules",
        "harness.measure.config",
        "harness.measure.machine",
        "harness.record",
        "harness.paths",
        "harness.models",
    },
    "harness.measure.machine": {"harness.measure.config", "harness.record", "harness.paths"},
    "harness.measure.mirror": {"harness.measure.config", "harness.record", "harness.paths"},
    "harness.measure.data": {"harness.measure.config", "harness.measure.machine", "harness.record", "harness.paths"},
    "harness.measure.training.recipe": {"harness.measure.config"},
    "harness.measure.training": {
        "harness.measure.training.recipe",
        "harness.measure.bill",
        "harness.measure.config",
        "harness.measure.data",
        "harness.measure.machine",
        "harness.measure.mirror",
        "harness.record",
        "harness.paths",
        "harness.models",
    },
    "harness.measure.stages": {
        "harness.measure.bill",
        "harness.measure.config",
        "harness.measure.data",
        "harness.measure.machine",
        "harness.measure.mirror",
        "harness.measure.training",
        "harness.record",
    },
    "harness.measure.run": {
        "harness.measure.bill",
        "harness.measure.config",
        "harness.measure.data",
        "harness.measure.machine",
        "harness.measure.stages",
        "harness.measure.training",
        "harness.record",
        "harness.models",
    },
    "harness.measure.sweep": {
        "harness.measure.bill",
        "harness.measure.config",
        "harness.measure.data",
        "harness.measure.machine",
        "harness.measure.run",
        "harness.measure.training",
        "harness.record",
        "harness.paths",
        "harness.models",
    },
    "harness.analyse.evidence.runs": {"harness.record"},
    "harness.analyse.evidence": {
        "harness.analyse.evidence.runs",
        "harness.analyse.foreign",
        "harness.record",
        "harness.paths",
    },
    "harness.analyse.foreign.text": {"harness.record"},
    "harness.analyse.foreign": {"harness.analyse.foreign.text", "harness.record", "harness.paths"},
    "harness.analyse.trend.collection": {
        "harness.analyse.trend",
        "harness.analyse.evidence",
        "harness.analyse.foreign",
        "harness.record",
        "harness.paths",
    },
    "harness.analyse.trend": {"harness.analyse.evidence", "harness.analyse.foreign", "harness.record", "harness.paths"},
    "harness.analyse.show": {"harness.analyse.evidence", "harness.analyse.trend", "harness.record", "harness.paths"},
    "harness.analyse.page": {
        "harness.analyse.evidence",
        "harness.analyse.show",
        "harness.analyse.trend",
        "harness.record",
        "harness.paths",
    },
    # The two big rooms' own front doors: what a notebook needs, drawn from all their rooms.
    "harness.measure": {"harness.measure", "harness.record", "harness.paths", "harness.models"},
    "harness.analyse": {"harness.analyse", "harness.record", "harness.paths"},
    "harness.verbs": {"harness.measure", "harness.analyse", "harness.record", "harness.paths", "harness.models"},
    "harness": {"harness"},
}
LIGHT = ("harness.record", "harness.analyse", "harness.paths")


def files(*rooms: str) -> list[Path]:
    """The Python files of the project's own code."""
    found = [path for room in rooms or ("harness", "models") for path in sorted((ROOT / room).rglob("*.py"))]
    assert found, "no file to look at"
    return found


def module_of(path: Path) -> str:
    """The dotted name that a file is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = ("harness", *parts) if parts[0] == "models" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in files()}


def imports_of(path: Path, *, at_import_time: bool = False) -> Iterator[str]:
    """Every module a file imports, anywhere in it: at the top, inside functions, under TYPE_CHECKING.

    at_import_time: only the statements at the top of the file, which run when it is imported.
    """
    here = module_of(path) if path.is_relative_to(ROOT) else ""
    package = here if path.name == "__init__.py" else here.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if at_import_time else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, f"{path}: such a relative import hides the direction"
            base = f"{package}.{node.module}" if node.level and node.module else node.module or package
            names = [f"{base}.{alias.name}" for alias in node.names]
            submodules = [name for name in names if name in MODULES]
            yield from submodules
            if len(submodules) < len(names):
                yield base


def room_of(module: str) -> str:
    """The room that a module of the project belongs to."""
    fitting = [room for room in MAY_IMPORT if module == room or module.startswith(room + ".")]
    return max(fitting, key=len)


def arrows() -> Iterator[tuple[str, str]]:
    """Every import of one file of the project by another."""
    for module, path in MODULES.items():
        for imported in imports_of(path):
            if imported.split(".")[0] == "harness" and imported != module:
                yield module, imported


def allowed(module: str, imported: str) -> bool:
    """Whether this arrow goes down, or stays in its room."""
    room, other = room_of(module), room_of(imported)
    return room == other or any(other == below or other.startswith(below + ".") for below in MAY_IMPORT[room])


def test_no_arrow_goes_up() -> None:
    assert [f"{module} -> {imported}" for module, imported in arrows() if not allowed(module, imported)] == []


def rooms_used(imported: set[str]) -> set[str]:
    """Which of the two big rooms a file imports from."""
    return {name.split(".")[1] for name in imported if name.startswith("harness.")} & {"measure", "analyse"}


def test_no_verb_imports_both_rooms() -> None:
    """A laptop analyses what a cluster measured: measuring needs torch, analysing must not.

    `check` and `import-curves` alone join them, inside a function: they count MACs where torch is there.
    """
    verbs = {module: path for module, path in MODULES.items() if module.startswith("harness.verbs.")}
    assert [module for module, path in verbs.items() if len(rooms_used(set(imports_of(path)))) > 1] == [
        "harness.verbs.check",
        "harness.verbs.import_curves",
    ]
    top = {module: set(imports_of(path, at_import_time=True)) for module, path in verbs.items()}
    assert [module for module, imported in top.items() if len(rooms_used(imported)) > 1] == []


def test_every_verb_has_its_thin_file_in_verbs() -> None:
    assert {verb.module for verb in VERBS.values()} <= MODULES.keys()
    assert {room_of(verb.module) for verb in VERBS.values()} == {"harness.verbs"}


def circles(edges: set[tuple[str, str]]) -> list[list[str]]:
    """Every strongly connected group of two or more nodes (Tarjan 1972)."""
    graph: dict[str, set[str]] = {}
    for start, end in edges:
        graph.setdefault(start, set()).add(end)
        graph.setdefault(end, set())
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for next_node in sorted(graph[node]):
            if next_node not in order:
                visit(next_node)
                low[node] = min(low[node], low[next_node])
            elif next_node in stack:
                low[node] = min(low[node], order[next_node])
        if low[node] == order[node]:
            group = [stack.pop()]
            while group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                groups.append(sorted(group))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return groups


def test_no_file_imports_itself_in_a_circle() -> None:
    assert circles({(module, imported) for module, imported in arrows() if imported in MODULES}) == []


def test_no_room_imports_itself_in_a_circle() -> None:
    rooms = {(room_of(module), room_of(imported)) for module, imported in arrows()}
    doors = {"harness", "harness.measure", "harness.analyse", "harness.verbs"}
    assert circles({(a, b) for a, b in rooms if a != b and not {a, b} & doors}) == []


def test_the_light_rooms_need_no_heavy_package() -> None:
    """`harness aggregate` starts where torch, hydra and wandb are absent."""
    heavy = [
        f"{module} imports {imported}"
        for module, path in MODULES.items()
        if module.startswith(LIGHT)
        for imported in imports_of(path)
        if imported.split(".")[0] in HEAVY or imported.startswith("harness.models")
    ]
    assert heavy == []


def test_only_the_mirror_imports_wandb() -> None:
    importing = [
        module
        for module, path in MODULES.items()
        if any(i.split(".")[0] in ("wandb", "wandb_workspaces") for i in imports_of(path))
    ]
    assert importing == ["harness.measure.mirror.dashboard", "harness.measure.mirror.wandb_process"]


def test_models_import_only_torch() -> None:
    outside = {
        i.split(".")[0] for path in files("models") for i in imports_of(path) if not i.startswith("harness.models")
    }
    assert outside <= {"torch", "torchvision", "collections", "functools", "importlib", "typing", "math"}


def test_every_file_of_a_room_is_packaged() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    packaged = set(re.findall(r'^    "(harness[\w.]*)",$', text, re.MULTILINE))
    assert {module_of(path.parent / "__init__.py") for path in files()} <= packaged


def readmes() -> list[Path]:
    """The README of every room: every folder that holds code, and the other folders of the top level."""
    rooms = (
        {path.parent for path in files() if path.name != "__init__.py"}
        | {ROOT / "models"}
        | {ROOT / name for name in ("conf", "tests", "results", "slurm")}
    )
    return sorted(room / "README.md" for room in rooms)


@pytest.mark.parametrize("readme", readmes(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_room_has_a_readme_that_names_only_what_is_there(readme: Path) -> None:
    assert readme.exists(), f"{readme.parent.relative_to(ROOT)} has no README.md"
    text = readme.read_text(encoding="utf-8")
    generated = readme.parent == ROOT / "results"  # its boxes hold what the terminal printed
    assert generated or len(text.splitlines()) <= 80, "longer than a page"
    named = re.findall(r"`([\w/.-]+(?:\.py|\.yaml|\.md|\.sh|\.csv)|[\w/-]+/)`", text)
    links = [link.split("#")[0] for link in re.findall(r"\]\((?!https?:)([^)#]+)", text)]
    missing = [
        name
        for name in named + links
        if name != CONFIG  # of a record, not of the repository
        and not any((base / name).exists() for base in (readme.parent, ROOT, ROOT / "harness"))
    ]
    assert missing == []


def test_every_test_file_has_a_name_of_its_own() -> None:
    """pytest imports test files by their names alone: two of one name keep all of them from running."""
    names = [path.name for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    assert len(names) > 50
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_the_checks_notice_what_they_are_for(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("def f():\n    from torch import nn\n")
    assert "torch" in set(imports_of(file))
    assert not allowed("harness.record.ledger", "harness.measure.run")
    assert not allowed("harness.analyse.trend.line", "harness.analyse.show.words")
    assert allowed("harness.measure.training.loop", "harness.measure.data.protocol")
    assert circles({("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")}) == [["a", "b", "c"]]
