"""What the UI shows of a table: its schema from the one declaration, numbers, tables and column lineage."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from volassets.evaluation.validation import SHOWN as VALIDATION_SHOWN
from volassets.evaluation.verdict import p_cell
from volassets.orchestration import pictures, small_charts
from volassets.orchestration.check_results import table_of
from volassets.pipeline.cells import Partition
from volassets.pipeline.partition_result import PartitionResult
from volassets.pipeline.price_intake import take_bars
from volassets.pipeline.report_pages import PAGES_AT_ONCE
from volassets.pipeline.state import State
from volassets.pipeline.step import Step
from volassets.settings import Settings
from volassets.warehouse.schema import tables

FEATURES = "realized_vol_features"
VALIDATION = "validation_scores"
UNCHANGED = "unchanged; `force` computes it again"
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
# In two tables: the UI cuts one that is wider than its column.
SHOWN = ["model", "horizon", "n", "qlike", "qlike_vs_gjr", "dm_p", "mcs_p", "coverage_90"]
ERRORS = ["model", "horizon", "n", "rmse", "mae", "r2", "bias"]
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
    return {
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dagster/table_name": table,
        "dagster/code_references": _code(step),
    }


def _code(step: Step) -> dg.CodeReferencesMetadataValue:
    """Return where the step's cells are computed: the UI links it."""
    function = inspect.unwrap(getattr(step.compute or take_bars, "func", step.compute or take_bars))
    file, line = inspect.getsourcefile(function), inspect.getsourcelines(function)[1]
    reference = dg.LocalFileCodeReference(
        file_path=str(file), line_number=line, label=f"{Path(str(file)).name}: {function.__name__}"
    )
    return dg.CodeReferencesMetadataValue(code_references=[reference])


def scores_table(frame: pd.DataFrame) -> dg.TableMetadataValue:
    """Return scores as a table of the UI: four places, p-values as text that never reads as 0, no empty column."""
    frame = frame.dropna(axis="columns", how="all")
    tests = [str(name) for name in frame if str(name).endswith("_p")]
    texts = {name: ["" if pd.isna(p) else p_cell(p) for p in frame[name]] for name in tests}
    return table_of(frame.round(4).assign(**texts), len(frame))


def lineage(step: Step) -> dict[str, dg.TableColumnLineage]:
    """Return the metadata that draws which columns the step's own are made from; empty where nothing is declared."""
    if step.table in LINEAGE:
        return _lineage(LINEAGE[step.table])
    if step.stage == "forecasts":
        parameters = tuple((table, "parameters") for table in step.upstream if table != FEATURES)
        interval = tuple(dict.fromkeys((*parameters, *_PROXY)))
        return _lineage({"variance": parameters or _PROXY, "lower": interval, "upper": interval})
    if step.table == "risk_forecasts":
        forecasts = [table for table in step.upstream if table.endswith("_forecasts")]
        made_from = (*((table, "variance") for table in forecasts), (FEATURES, "return"))
        return _lineage(dict.fromkeys(("value_at_risk", "expected_shortfall"), made_from))
    if step.table == "leaderboard":
        forecasts = [table for table in step.upstream if table.endswith("_forecasts")]
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
) -> dict[Partition, dict[str, dg.MetadataValue | int | float | str]]:
    """Return what the UI shows of the partitions that a step has just done: each cell's own numbers and tables.

    Charts and pictures are drawn where `with_pictures` asks and of few tickers, since they cost more than the rest;
    pictures of a ticker's newest partition only, because the UI loads metadata whole.
    """
    good = [item for item in items if not item.failures and not item.nothing]
    tickers = list(dict.fromkeys(item.partition.ticker for item in good))
    described: dict[Partition, dict[str, Any]] = {}
    with state.context.warehouse.reading():
        numbers, counts = _numbers(state, step, tickers), _row_counts(state, step, tickers)
        for item in good:
            own = described[item.partition] = {"dagster/row_count": counts.get(item.partition, item.rows)}
            own["state"] = _state_of(item)
            own.update(numbers.get(item.partition, {}))
            own.update(_DETAILS.get(step.name, _nothing)(state, item))
    drawn = with_pictures and len(tickers) <= PAGES_AT_ONCE
    if drawn:
        for partition, chart in small_charts.of_partitions(state, step, list(described)).items():
            described[partition].update(chart)
    newest = {place.ticker: place for place in sorted(described, key=in_time)}
    for ticker, partition in newest.items():
        described[partition].update(lineage(step))
        described[partition].update(_validation(state, step, partition))
        if drawn:
            described[partition].update(pictures.of_step(state.context, step, ticker))
    return described


def _state_of(item: PartitionResult) -> str:
    """Return what a run did: ``computed garch, gjr; unchanged egarch``, or that all was right already."""
    parts = (("computed", item.computed), ("unchanged", item.unchanged))
    done = [f"{word} {', '.join(names)}".strip() for word, names in parts if names]
    return "; ".join(done) if item.computed else UNCHANGED


def in_time(partition: Partition) -> tuple[str, str]:
    """Return the key that sorts the newest partition last, which the UI's overview shows."""
    return ("" if partition.month is None else partition.month.isoformat(), partition.ticker)


def _row_counts(state: State, step: Step, tickers: Sequence[str]) -> dict[Partition, int]:
    """Return the stored rows of the step's partitions."""
    store = state.context.warehouse
    names = [name for name in ("ticker", "portfolio", "refit_month") if name in store.table(step.table).column_names]
    where = "WHERE list_contains($tickers, ticker)" if "ticker" in names else ""
    listed = ", ".join([*names, "count(*) AS n"])
    rows = store.query(
        f"SELECT {listed} FROM {step.table} {where} GROUP BY ALL", {"tickers": list(tickers)} if where else {}
    )
    return {_partition(row): int(row["n"]) for row in rows.to_dict("records")}


def _partition(row: Mapping[Any, Any]) -> Partition:
    month = row.get("refit_month")
    return Partition(row.get("portfolio", row.get("ticker", "")), None if month is None else pd.Timestamp(month))


def _numbers(state: State, step: Step, tickers: Sequence[str]) -> dict[Partition, dict[str, Any]]:
    """Return what the step's own query says of each partition: numbers, and a table where it has a row per model."""
    if not step.numbers or not tickers:
        return {}
    parameters: dict[str, Any] = {"tickers": list(tickers)}
    if "$models" in step.numbers:
        parameters["models"] = [model.name for model in step.models]
    rows = state.context.warehouse.query(step.numbers.format(table=step.table), parameters)
    found: dict[Partition, list[dict[Any, Any]]] = {}
    for row in rows.to_dict("records"):
        shown = {name: value for name, value in row.items() if name not in ("ticker", "refit_month")}
        found.setdefault(_partition(row), []).append(shown)
    return {
        place: _by_model(pd.DataFrame(own)) if "model" in own[0] else _floats(own[0]) for place, own in found.items()
    }


def _floats(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: float(value) for name, value in row.items() if pd.notna(value)}


def _by_model(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the table of a cell's models, and the numbers over them that are plotted along the months."""
    numbers: dict[str, Any] = {}
    if "seconds" in rows:
        numbers |= {
            "seconds": round(float(rows["seconds"].sum()), 3),
            "not_converged": int((~rows["converged"].astype(bool)).sum()),
        }
        rows = rows.assign(parameters=[_short(text) for text in rows["parameters"]])
    if "qlike" in rows and rows["qlike"].notna().any():
        numbers["qlike"] = round(float(rows["qlike"].mean()), 4)
    return {**numbers, "models": table_of(rows.round(4), len(rows))}


def _short(parameters: str) -> str:
    """Return the numbers among a fit's parameters, to four places."""
    values = json.loads(parameters).items()
    return ", ".join(f"{name} {value:.4g}" for name, value in values if type(value) in (int, float))


def _nothing(_state: State, _item: PartitionResult) -> dict[str, Any]:
    return {}


def _bars(state: State, item: PartitionResult) -> dict[str, Any]:
    ticker = item.partition.ticker
    bars = state.context.bars(ticker)
    findings = [f"{finding.severity}: {finding.message}" for finding in state.context.findings.get(ticker, ())]
    return {
        "changed_rows": item.rows,
        "first_bar": f"{bars.index[0]:%Y-%m-%d}",
        "last_bar": f"{bars.index[-1]:%Y-%m-%d}",
        "findings": dg.MetadataValue.md("\n".join(f"- {line}" for line in findings) or "none"),
    }


def _features(state: State, item: PartitionResult) -> dict[str, Any]:
    features = state.context.features(item.partition.ticker).load()
    described: dict[str, Any] = {"columns": features.shape[1]}
    ratio = float(features["ratio"].iloc[-1])
    return described | ({"proxy_ratio": ratio} if np.isfinite(ratio) else {})


def _validation(state: State, step: Step, partition: Partition) -> dict[str, Any]:
    """Return the scores of a refit's networks on their validation rows."""
    if VALIDATION not in step.tables:
        return {}
    place = {"ticker": partition.ticker, "refit_month": partition.month}
    rows = state.context.warehouse.read(VALIDATION, columns=["model", "horizon", *VALIDATION_SHOWN], **place)
    return {"validation": scores_table(rows)} if len(rows) else {}


def _comparison(state: State, item: PartitionResult) -> dict[str, Any]:
    board = state.context.warehouse.read("leaderboard", ticker=item.partition.ticker)
    texts = state.context.warehouse.read("verdicts", columns=["text"], ticker=item.partition.ticker)["text"]
    best = board.loc[board["horizon"] == board["horizon"].min(), "qlike"].min()
    return {
        "leaderboard": scores_table(board[SHOWN]),
        "errors": scores_table(board[ERRORS]),
        "verdicts": dg.MetadataValue.md("\n".join(f"- {text}" for text in texts)),
        **({"best_qlike": round(float(best), 4)} if pd.notna(best) else {}),
    }


def _panel(state: State, _item: PartitionResult) -> dict[str, Any]:
    store = state.context.warehouse
    texts = store.read("panel_verdicts", columns=["text"])["text"]
    return {
        "panel": scores_table(store.read("panel_leaderboard").drop(columns="data_hash")),
        "verdicts": dg.MetadataValue.md("\n".join(f"- {text}" for text in texts)),
    }


_DETAILS: dict[str, Callable[[State, PartitionResult], dict[str, Any]]] = {
    "raw_prices": _bars,
    FEATURES: _features,
    "comparison_reports": _comparison,
    "panel_report": _panel,
}
