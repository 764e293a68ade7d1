"""What the UI shows of a table: its schema from the one declaration, numbers, tables and column lineage."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from volassets.orchestration import pictures
from volassets.pipeline.cells import Partition
from volassets.pipeline.partition_result import PartitionResult
from volassets.pipeline.report_pages import PAGES_AT_ONCE
from volassets.pipeline.state import State
from volassets.pipeline.step import Step
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
SHOWN = ["model", "horizon", "n", "qlike", "qlike_vs_gjr", "dm_p", "mcs_p", "rmse", "mae", "r2", "coverage_90"]
SCORED_COLUMNS = ("qlike", "qlike_vs_gjr", "rmse", "mae", "r2", "bias", "mse", "dm_vs_gjr", "mcs_p")


def definition(step: Step, settings: Settings) -> dict[str, Any]:
    """Return an asset's definition metadata: the name of its table and the documented columns."""
    table = step.table
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


def lineage(step: Step) -> dict[str, dg.TableColumnLineage]:
    """Return the metadata that draws which columns the step's own are made from; empty where nothing is declared."""
    if step.table in LINEAGE:
        return _lineage(LINEAGE[step.table])
    if step.stage == "forecasts":
        parameters = tuple((table, "parameters") for table in step.upstream if table != FEATURES)
        interval = tuple(dict.fromkeys((*parameters, *_PROXY)))
        return _lineage({"variance": parameters or _PROXY, "lower": interval, "upper": interval})
    if step.table == "leaderboard":
        forecasts = [table for table in step.upstream if table != FEATURES]
        scores = (*((table, "variance") for table in forecasts), *_PROXY)
        bounds = tuple((table, name) for table in forecasts for name in ("lower", "upper"))
        return _lineage(dict.fromkeys(SCORED_COLUMNS, scores) | {"coverage_90": (*bounds, *_PROXY)})
    return {}


def _lineage(columns: Mapping[str, Sources]) -> dict[str, dg.TableColumnLineage]:
    made_from = {
        name: [dg.TableColumnDep(asset_key=dg.AssetKey(asset), column_name=column) for asset, column in sources]
        for name, sources in columns.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(made_from)}


def describe(
    state: State, step: Step, items: Sequence[PartitionResult], with_pictures: bool
) -> dict[Partition, dict[str, dg.MetadataValue | int | float]]:
    """Return what the UI shows of the partitions that a step has just done: numbers to plot, tables, plots.

    Pictures are drawn of a ticker's newest partition only, and of few tickers: the UI loads metadata whole.
    """
    good = [item for item in items if not item.failures and not item.nothing]
    tickers = list(dict.fromkeys(item.partition.ticker for item in good))
    numbers = _numbers(state, step, tickers)
    described: dict[Partition, dict[str, Any]] = {}
    for item in good:
        own = described[item.partition] = {"computed": len(item.computed), "unchanged": len(item.unchanged)}
        if item.rows:
            own["dagster/row_count"] = item.rows
        own.update(numbers.get(item.partition, {}))
        own.update(_DETAILS.get(step.name, _nothing)(state, item))
    newest = {partition.ticker: partition for partition in sorted(described, key=lambda place: place.key)}
    for ticker, partition in newest.items():
        described[partition].update(lineage(step))
        if with_pictures and len(tickers) <= PAGES_AT_ONCE:
            described[partition].update(pictures.of_step(state.context, step, ticker))
    return described


def _numbers(state: State, step: Step, tickers: Sequence[str]) -> dict[Partition, dict[str, float]]:
    """Return the numbers of the step's own query by partition; NULL is left out."""
    if not step.numbers or not tickers:
        return {}
    parameters: dict[str, Any] = {"tickers": list(tickers)}
    if "$models" in step.numbers:
        parameters["models"] = [model.name for model in step.models]
    rows = state.context.warehouse.query(step.numbers.format(table=step.table), parameters)
    names = [name for name in rows.columns if name not in ("ticker", "refit_month")]
    return {
        Partition(row["ticker"], pd.Timestamp(row["refit_month"])): {
            n: float(row[n]) for n in names if pd.notna(row[n])
        }
        for row in rows.to_dict("records")
    }


def _nothing(_state: State, _item: PartitionResult) -> dict[str, Any]:
    return {}


def _bars(state: State, item: PartitionResult) -> dict[str, Any]:
    ticker = item.partition.ticker
    bars = state.context.bars(ticker)
    findings = [f"{finding.severity}: {finding.message}" for finding in state.context.findings.get(ticker, ())]
    return {
        "rows": len(bars),
        "changed_rows": item.rows,
        "first_bar": f"{bars.index[0]:%Y-%m-%d}",
        "last_bar": f"{bars.index[-1]:%Y-%m-%d}",
        "findings": dg.MetadataValue.md("\n".join(f"- {line}" for line in findings) or "none"),
    }


def _features(state: State, item: PartitionResult) -> dict[str, Any]:
    features = state.context.features(item.partition.ticker).load()
    described: dict[str, Any] = {"rows": len(features), "columns": features.shape[1]}
    ratio = float(features["ratio"].iloc[-1])
    return described | ({"proxy_ratio": ratio} if np.isfinite(ratio) else {})


def _comparison(state: State, item: PartitionResult) -> dict[str, Any]:
    board = state.context.warehouse.read("leaderboard", ticker=item.partition.ticker)
    texts = state.context.warehouse.read("verdicts", columns=["text"], ticker=item.partition.ticker)["text"]
    best = board.loc[board["horizon"] == board["horizon"].min(), "qlike"].min()
    return {
        "leaderboard": markdown_table(board[SHOWN]),
        "verdicts": dg.MetadataValue.md("\n".join(f"- {text}" for text in texts)),
        **({"best_qlike": float(best)} if pd.notna(best) else {}),
    }


def _panel(state: State, _item: PartitionResult) -> dict[str, Any]:
    store = state.context.warehouse
    texts = store.read("panel_verdicts", columns=["text"])["text"]
    return {
        "panel": markdown_table(store.read("panel_leaderboard").drop(columns="data_hash")),
        "verdicts": dg.MetadataValue.md("\n".join(f"- {text}" for text in texts)),
    }


_DETAILS: dict[str, Callable[[State, PartitionResult], dict[str, Any]]] = {
    "raw_prices": _bars,
    FEATURES: _features,
    "comparison_reports": _comparison,
    "panel_report": _panel,
}
