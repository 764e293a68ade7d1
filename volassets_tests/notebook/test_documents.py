"""docs/python.md says what is so, and docs/notebook.ipynb runs from its first cell to its last."""

from __future__ import annotations

import doctest
import warnings

import nbformat
import pytest

from volassets_tests.notebook.make_notebook import NOTEBOOK, ROOT, executed, fresh


@pytest.mark.slow
def test_the_examples_of_the_page_give_what_it_shows():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False)
    assert result.attempted >= 12
    assert not result.failed


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
