"""No module of the package imports itself by way of others, at its top or in a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from volassets_tests.test_structure import FILES, PACKAGE, ROOT, name_of, tree_of


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(file): file for file in FILES}


def own_imports(file: Path) -> set[Path]:
    """Return the modules of the package that a file imports while it runs, at its top or in a function."""
    module, found = module_of(file), set()
    for node in run_time_nodes(tree_of(file)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
            start = parts[: len(parts) + 1 - node.level] if node.level else []
            origin = ".".join([*start, *filter(None, [node.module])])
            found |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
    return {MODULES[name] for name in found & set(MODULES) - {module}}


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node below `node` but those that only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        yield child
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for part in child.orelse:
                yield part
                yield from run_time_nodes(part)
        else:
            yield from run_time_nodes(child)


def circles(edges: dict[str, set[str]]) -> set[str]:
    """Return the nodes on some circle: those left when what nothing points at, or points at nothing, is gone."""
    left = dict(edges)
    while True:
        targets = set().union(*left.values()) if left else set()
        ends = {name for name, to in left.items() if name not in targets or not to & set(left)}
        if not ends:
            return set(left)
        left = {name: to - ends for name, to in left.items() if name not in ends}


def test_no_import_goes_in_a_circle():
    files = {file for file in FILES if file.name != "__init__.py"}
    edges = {name_of(file): {name_of(other) for other in own_imports(file) & files} for file in files}
    assert sum(map(len, edges.values())) > len(files)
    assert not circles(edges)


def test_circles_are_found(tmp_path):
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"c"}, "e": set()}) == {"b", "c"}
    assert not circles({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    typed = "if TYPE_CHECKING:\n    from .. import clock\n"
    text = typed + "def f():\n    from .. import object_io\n    import volassets.errors"
    file, tree = PACKAGE / "market" / "made_up.py", ast.parse(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "tree_of", lambda _file: tree)
        assert own_imports(file) == {PACKAGE / name for name in ("__init__.py", "object_io.py", "errors.py")}
