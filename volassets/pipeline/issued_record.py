"""The record of what was forecast on the day: appended by the schedules, rewritten by nothing.

Stored forecasts are replaced after revisions, refits and upgrades. What is issued here is the first statement about an
origin, made while it was still a forecast: before the close of the session that it is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from volassets import __version__
from volassets.market.findings import Finding
from volassets.pipeline.cells import Partition
from volassets.pipeline.risk_steps import risk_is_current
from volassets.pipeline.state import State
from volassets.timing import refit_month
from volassets.warehouse.store import Upsert

# Between machines the last bits may differ; more is another number.
ROUNDING = 1e-9
_FORECASTS = """
    SELECT model, horizon, origin_date, target_date, variance, volatility, lower, upper, sessions_per_year
    FROM forecasts WHERE ticker = $ticker AND refit_month = $month AND origin_date = $origin
        AND list_contains($models, model) ORDER BY ALL
"""
_RISK = """
    SELECT model, horizon, level, tail, origin_date, target_date, value_at_risk, expected_shortfall, method
    FROM risk_forecasts WHERE ticker = $ticker AND refit_month = $month AND origin_date = $origin
        AND list_contains($models, model) ORDER BY ALL
"""
_PARTED = """
    SELECT 'forecast' AS what, ticker, model, horizon, origin_date, issued_variance AS issued,
        stored_variance AS stored, difference
    FROM live_forecasts WHERE list_contains($tickers, ticker)
    UNION ALL
    SELECT 'value at risk', ticker, model, horizon, origin_date, issued_value_at_risk, stored_value_at_risk, difference
    FROM live_risk WHERE list_contains($tickers, ticker) AND issued_value_at_risk IS NOT NULL
    ORDER BY ticker, origin_date DESC, model, horizon
"""


def issue(state: State, tickers: Sequence[str]) -> int:
    """Append the current forecasts and risk from the newest origin of `tickers` to the record; return how many.

    What was issued before about an origin stays. Nothing is issued of a ticker whose next session has closed: its
    forecast would be no forecast any more.
    """
    issued: dict[str, list[pd.DataFrame]] = {"issued_forecasts": [], "issued_risk": []}
    for ticker in tickers:
        for name, rows in _newest(state, ticker).items():
            issued[name].append(rows)
    changes = [Upsert(name, pd.concat(rows, ignore_index=True)) for name, rows in issued.items() if rows]
    if changes:
        state.context.warehouse.write(*changes)
    return sum(len(change.frame) for change in changes)


def _newest(state: State, ticker: str) -> dict[str, pd.DataFrame]:
    """Return what there is to issue of one ticker, by table."""
    context, known = state.context, state.context.ticker(ticker)
    if known.bars.empty:
        return {}
    origin = known.index[-1]
    target = known.calendar.next_session(origin)
    if known.calendar.closed(target, pd.Timestamp(context.now)):
        context.log(f"{ticker}: nothing is issued, the session of {target:%Y-%m-%d} has closed without its bar")
        return {}
    place = Partition(ticker, refit_month(target))
    models = [
        model
        for model in context.settings.chosen_models.values()
        if state.stored_hashes.hash(f"{model.family}_forecasts", place, model.name)
        == known.fingerprints.forecast(model, place.refit_month)
    ]
    steered = [model.name for model in models if risk_is_current(state, place, model)]
    names: dict[str, Any] = {
        "ticker": ticker,
        "issued_at": context.now.replace(tzinfo=None, microsecond=0),
        "code_version": __version__,
        "bars_hash": known.fingerprints.bars(len(known.index)),
    }
    asked = {"ticker": ticker, "month": place.refit_month.to_pydatetime(), "origin": origin.to_pydatetime()}
    found = {
        "issued_forecasts": context.warehouse.query(_FORECASTS, {**asked, "models": [model.name for model in models]}),
        "issued_risk": context.warehouse.query(_RISK, {**asked, "models": steered}),
    }
    return {name: rows.assign(**names) for name, rows in found.items() if len(rows)}


def parted(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Sequence[Finding]]:
    """Return per ticker where what was issued and what is stored now differ by more than rounding."""
    tickers = [partition.ticker for partition in partitions]
    rows = state.context.warehouse.query(_PARTED, {"tickers": tickers})
    found = {}
    for partition in partitions:
        own = rows[rows["ticker"] == partition.ticker]
        if len(own):
            found[partition] = issued_apart(own.drop(columns="ticker"))
    return found


def issued_apart(rows: pd.DataFrame) -> list[Finding]:
    """Find issued numbers that are stored as others or not at all; columns as in `_PARTED`, without the ticker."""
    stored = rows["stored"].notna()
    same = rows["stored"] == rows["issued"]
    apart = stored & ~same & ~(rows["difference"].abs() <= ROUNDING)
    if not apart.any() and stored.all():
        return []
    texts = []
    if apart.any():
        worst = rows.iloc[int(np.argmax(np.where(apart, rows["difference"].abs().fillna(np.inf), -1.0)))]
        texts.append(
            f"{int(apart.sum())} of {len(rows)} issued numbers differ from what is stored now for the same origin, "
            f"most the {worst['what']} of {worst['model']} at {worst['origin_date']:%Y-%m-%d}: {worst['issued']:.6g} "
            f"was issued, {worst['stored']:.6g} is stored"
        )
    if not stored.all():
        texts.append(f"{int((~stored).sum())} of {len(rows)} issued numbers are not stored any more")
    text = "; ".join(texts)
    message = (
        f"{text}. Bars, settings or code have changed since: issued numbers stay; `price_revisions`, `code_version` "
        "and `bars_hash` say which."
    )
    return [Finding("issued", "warning", message, rows[apart | ~stored].head(20))]
