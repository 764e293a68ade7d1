"""The promises of docs/reliability.md: every one names tests, and every test that is named is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "reliability.md"


def promises() -> dict[str, list[tuple[str, str]]]:
    """Return by promise the files and functions that its row names; a name without a file is of the file before."""
    rows = PAGE.read_text("utf-8").partition("| promise | shown by |\n|---|---|\n")[2].partition("\n\n")[0]
    found = {}
    for row in rows.splitlines():
        promise, _, shown = row.strip("| ").rpartition(" | ")
        file, found[promise] = "", []
        for name in re.findall(r"`([^`]+)`", shown):
            place, _, function = name.partition("::")
            file = place or file
            found[promise].append((file, function))
    return found


def functions(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_tests_that_exist() -> None:
    listed = promises()
    assert len(listed) > 20
    assert not [promise for promise, tests in listed.items() if not tests]
    named = {test for tests in listed.values() for test in tests}
    assert not [(file, name) for file, name in sorted(named) if not name.startswith("test_")]
    known = {file: functions(file) for file in {file for file, _ in named}}
    assert not [f"{file}::{name}" for file, name in sorted(named) if name not in known[file]]
