"""Charts that the UI shows beside a cell's numbers without a click; the report's own pictures are in `pictures`."""

from collections.abc import Mapping, Sequence

import dagster as dg
import numpy as np
import pandas as pd

from volassets.pipeline.cells import Partition
from volassets.pipeline.state import State
from volassets.pipeline.step import Step
from volassets.reporting.small_chart import small_chart

Charts = dict[Partition, dict[str, dg.MarkdownMetadataValue]]

_MONTHS = """
    SELECT f.ticker, f.refit_month, f.model, f.target_date, f.volatility, l.qlike,
        sqrt(l.realized_variance * f.sessions_per_year) AS realised
    FROM {table} f LEFT JOIN forecast_losses l
        ON (l.ticker, l.model, l.horizon, l.origin_date) = (f.ticker, f.model, f.horizon, f.origin_date)
    WHERE f.horizon = 1 AND list_contains($tickers, f.ticker) AND f.refit_month BETWEEN $first AND $last
    ORDER BY f.target_date
"""
_YEAR = """
    SELECT f.target_date, f.model, f.volatility, sqrt(l.realized_variance * f.sessions_per_year) AS realised
    FROM forecasts f JOIN forecast_losses l
        ON (l.ticker, l.model, l.horizon, l.origin_date) = (f.ticker, f.model, f.horizon, f.origin_date)
    WHERE f.ticker = $ticker AND f.horizon = 1 AND f.model = (SELECT model FROM headline_models WHERE ticker = $ticker)
    ORDER BY f.target_date DESC LIMIT 252
"""


def of_partitions(state: State, step: Step, partitions: Sequence[Partition]) -> Charts:
    """Return the chart of each partition of forecasts or of a comparison; none of other steps."""
    if step.stage == "forecasts" and partitions:
        return _months(state, step, partitions)
    if step.name == "comparison_reports":
        return {place: chart for place in partitions if (chart := _year(state, place.ticker))}
    return {}


def _months(state: State, step: Step, partitions: Sequence[Partition]) -> Charts:
    """Return realised volatility and the month's best model's forecast of it, one session ahead."""
    months = [place.refit_month for place in partitions]
    rows = state.context.warehouse.query(
        _MONTHS.format(table=step.table),
        {"tickers": sorted({place.ticker for place in partitions}), "first": min(months), "last": max(months)},
    )
    wanted, charts = set(partitions), Charts()
    for (ticker, month), cell in rows.groupby(["ticker", "refit_month"]):
        place = Partition(str(ticker), pd.Timestamp(str(month)))
        if place in wanted:
            scores = cell.groupby("model")["qlike"].mean()
            model = str(scores.idxmin() if scores.notna().any() else scores.index[0])
            own = cell[cell["model"] == model].set_index("target_date")
            charts[place] = _chart("month", {"realised": own["realised"], model: own["volatility"]})
    return charts


def _year(state: State, ticker: str) -> dict[str, dg.MarkdownMetadataValue]:
    """Return the last 252 outcomes and the headline model's forecasts of them, one session ahead."""
    rows = state.context.warehouse.query(_YEAR, {"ticker": ticker}).set_index("target_date").sort_index()
    if rows.empty:
        return {}
    return _chart("last_year", {"realised": rows["realised"], str(rows["model"].iloc[0]): rows["volatility"]})


def _chart(name: str, lines: Mapping[str, pd.Series]) -> dict[str, dg.MarkdownMetadataValue]:
    url = small_chart(lines)
    if not url:
        return {}
    values = np.concatenate([line.dropna().to_numpy(float) for line in lines.values()])
    days = next(iter(lines.values())).index
    said = f"{days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}, {values.min():.1%} to {values.max():.1%} a year"
    return {name: dg.MetadataValue.md(f"{said}\n\n![{' and '.join(lines)}]({url})")}
