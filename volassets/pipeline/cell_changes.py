"""What many computed cells of a step replace in the store, in one change per table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from volassets.pipeline.cells import Scope
from volassets.pipeline.partition_result import by_table
from volassets.pipeline.step import Output, Step
from volassets.pipeline.workers import Result
from volassets.warehouse.store import Replacement, Upsert


def changes_of(step: Step, written: Sequence[tuple[Result, Output]]) -> list[Replacement | Upsert]:
    """Return the changes that `Step.writes` gives for each cell, joined by table.

    The columns that name a cell are made for all rows at once: a frame of its own for each cell cost more than what is
    computed in most of them.
    """
    if step.scope not in (Scope.TICKER, Scope.TICKER_MONTH):
        listed = [step.writes(cell.partition, cell.model, cell.data_hash, output) for cell, output in written]
        return by_table([change for changes in listed for change in changes])
    found: dict[str, list[tuple[Result, pd.DataFrame]]] = {}
    for cell, output in written:
        for table, rows in output.tables.items():
            found.setdefault(table, []).append((cell, rows))
    return [_joined(step, table, parts) for table, parts in found.items()]


def _joined(step: Step, table: str, parts: Sequence[tuple[Result, pd.DataFrame]]) -> Replacement:
    named = [
        {"ticker": cell.partition.ticker, "refit_month": cell.partition.month, "model": cell.model} for cell, _ in parts
    ]
    cells = pd.DataFrame([{name: value for name, value in names.items() if value} for names in named])
    columns = cells.assign(data_hash=[cell.data_hash for cell, _ in parts]) if table == step.table else cells
    frames = [rows for _, rows in parts]
    rows = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
    repeated = columns.iloc[np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])]
    return Replacement(table, rows.assign(**{str(name): repeated[name].array for name in repeated}), cells)
