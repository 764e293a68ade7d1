"""docs/python.md says what is so, and docs/notebook.ipynb runs from its first cell to its last."""

from __future__ import annotations

import doctest
import inspect
import re
import tarfile
import warnings

import nbformat
import pytest

import volassets as va
from volassets_tests.golden.make_home import ARCHIVE
from volassets_tests.notebook.make_notebook import NOTEBOOK, ROOT, executed, fresh

PAGE = ROOT / "docs" / "python.md"
EXAMPLES = "".join(re.findall(r"^```pycon\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))


@pytest.mark.slow
def test_the_examples_of_the_page_give_what_it_shows(tmp_path, monkeypatch):
    with tarfile.open(ARCHIVE) as tar:
        tar.extractall(tmp_path, filter="data")
    (tmp_path / "home").rename(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted >= 30
    assert not result.failed


def test_every_public_name_has_an_example():
    functions = [f"plot.{name}" for name, value in vars(va.plot).items() if _is_public(name, value)]
    assert len(functions) == 2
    names = [name for name in va._PUBLIC if name != "plot"] + functions
    assert not [name for name in names if not re.search(rf"\bva\.{re.escape(name)}\b", EXAMPLES)]


def _is_public(name: str, value: object) -> bool:
    return inspect.isfunction(value) and not name.startswith("_") and value.__module__ == va.plot.__name__


def test_the_notebook_is_stored_with_its_outputs():
    stored, source = nbformat.read(str(NOTEBOOK), as_version=4), fresh()
    nbformat.validate(stored)
    assert [(cell.cell_type, cell.source) for cell in stored.cells] == [
        (cell.cell_type, cell.source) for cell in source.cells
    ]
    assert all(cell.outputs for cell in stored.cells if cell.cell_type == "code")
    assert (
        sum("image/png" in output.get("data", {}) for cell in stored.cells for output in cell.get("outputs", ())) == 2
    )
    assert NOTEBOOK.stat().st_size < 400_000


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_is_stored():
    stored, again = nbformat.read(str(NOTEBOOK), as_version=4), executed(fresh())
    for before, now in zip(stored.cells, again.cells, strict=True):
        kinds = [sorted(output.get("data", {})) for output in before.get("outputs", ())]
        assert [sorted(output.get("data", {})) for output in now.get("outputs", ())] == kinds, now.source
