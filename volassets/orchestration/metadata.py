"""What the UI shows of a table: its schema from the one declaration, numbers, tables and column lineage."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from volassets.settings import Settings
from volassets.warehouse.schema import tables

FEATURES = "realized_vol_features"
_PROXY = ((FEATURES, "proxy_variance"), (FEATURES, "ratio"))
Sources = tuple[tuple[str, str], ...]
# Per table, which columns of which assets a column is made from; what is the same row's arithmetic is left out.
LINEAGE: dict[str, dict[str, Sources]] = {
    FEATURES: {
        "proxy_variance": tuple(("raw_prices", name) for name in ("open", "high", "low", "close")),
        "return": (("raw_prices", "close"), ("raw_prices", "adj_close")),
    },
    "lag_analysis": dict.fromkeys(("pacf", "bound", "stable_blocks", "selected", "lasso"), ((FEATURES, "log_proxy"),)),
}
SCORED_COLUMNS = ("qlike", "qlike_vs_gjr", "rmse", "mae", "r2", "bias", "mse", "dm_vs_gjr", "mcs_p")


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


def lineage(table: str) -> dict[str, dg.TableColumnLineage]:
    """Return the metadata that draws which columns those of `table` are made from."""
    return _lineage(LINEAGE[table])


def _lineage(columns: Mapping[str, Sources]) -> dict[str, dg.TableColumnLineage]:
    made_from = {
        name: [dg.TableColumnDep(asset_key=dg.AssetKey(asset), column_name=column) for asset, column in sources]
        for name, sources in columns.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(made_from)}


def forecast_lineage(fits: Iterable[str]) -> dict[str, dg.TableColumnLineage]:
    """Return the lineage of a forecast table made with the parameters of the tables `fits`."""
    parameters = tuple((table, "parameters") for table in fits)
    interval = tuple(dict.fromkeys((*parameters, *_PROXY)))
    return _lineage({"variance": parameters or _PROXY, "lower": interval, "upper": interval})


def score_lineage(families: Iterable[str]) -> dict[str, dg.TableColumnLineage]:
    """Return the lineage of the leaderboard over the forecasts of `families`."""
    tables = [f"{family}_forecasts" for family in families]
    scores = (*((table, "variance") for table in tables), *_PROXY)
    bounds = tuple((table, name) for table in tables for name in ("lower", "upper"))
    return _lineage(dict.fromkeys(SCORED_COLUMNS, scores) | {"coverage_90": (*bounds, *_PROXY)})
