"""Many cells in one change per table are what each would have written."""

from __future__ import annotations

import pandas as pd
import pytest

from volassets.pipeline.cell_changes import changes_of
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.partition_result import by_table
from volassets.pipeline.step import Output
from volassets.pipeline.steps import steps
from volassets.pipeline.workers import Result
from volassets.settings import Settings


@pytest.mark.parametrize("name", ["risk_forecasts", "risk_backtests"])
def test_joined_cells_are_those_of_each(name: str) -> None:
    step = next(step for step in steps(Settings()) if step.name == name)
    months = ["2016-01-01", "2016-02-01", "2016-03-01"] if step.scope is Scope.TICKER_MONTH else [None]
    written = []
    for number, month in enumerate(months):
        place = Partition("AAA", None if month is None else pd.Timestamp(month))
        rows = pd.DataFrame({"horizon": [1] * (number + 1), "value": [0.5] * (number + 1)})
        # The last cell has no rows.
        tables = dict.fromkeys(step.tables, rows.iloc[: 0 if number == 2 else None])
        model = "gjr" if step.models else ""
        written.append((Result(place, model, f"hash {number}", Output(tables), "", 0.0), Output(tables)))
    single = [
        change for cell, output in written for change in step.writes(cell.partition, cell.model, cell.data_hash, output)
    ]
    for found, expected in zip(changes_of(step, written), by_table(single), strict=True):
        assert found.table == expected.table
        pd.testing.assert_frame_equal(found.frame, expected.frame)
        pd.testing.assert_frame_equal(found.cells, expected.cells)
