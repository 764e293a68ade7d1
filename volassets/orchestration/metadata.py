"""What the UI shows of a table: its schema, from the one declaration."""

from typing import Any

import dagster as dg
import pandas as pd

from volassets.settings import Settings
from volassets.warehouse.schema import tables


def definition(table: str, settings: Settings) -> dict[str, Any]:
    """Return an asset's definition metadata: the table's name and its documented columns."""
    declared = tables(settings)[table]
    columns = [
        dg.TableColumn(
            name=column.name,
            type=column.type,
            description=column.comment,
            constraints=dg.TableColumnConstraints(nullable=column.nullable),
        )
        for column in declared.columns
    ]
    return {"dagster/column_schema": dg.TableSchema(columns=columns), "dagster/table_name": table}


def markdown_table(frame: pd.DataFrame, digits: int = 4) -> dg.MarkdownMetadataValue:
    """Return `frame` as a markdown table with numbers to `digits` places; an empty one says so."""
    if frame.empty:
        return dg.MetadataValue.md("no rows")

    def cell(value: Any) -> str:
        return (
            "" if value is None or value != value else f"{value:.{digits}f}" if isinstance(value, float) else str(value)
        )

    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + "---|" * len(frame.columns)]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in frame.itertuples(index=False)]
    return dg.MetadataValue.md("\n".join(lines))
