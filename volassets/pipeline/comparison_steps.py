"""What the forecasts are worth: `comparison_reports` per ticker, `panel_report` over all tickers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from volassets.evaluation import row_checks
from volassets.evaluation.backtest import Rules
from volassets.evaluation.panel import panel_comparison, panel_verdict, pooled_scores
from volassets.evaluation.ticker_comparison import compare_ticker
from volassets.market.suspect_ranges import suspect_ranges
from volassets.models.protocol import Model
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.fingerprints import CODE_VERSIONS, digest
from volassets.pipeline.freshness import FORECAST, current_check
from volassets.pipeline.issued_record import parted
from volassets.pipeline.risk_steps import BACKTESTS
from volassets.pipeline.state import FEATURES, State
from volassets.pipeline.step import Check, Inputs, Output, Rows, Step
from volassets.pipeline.upstream_rows import ticker_check
from volassets.settings import Settings

COMPARISON, PANEL, SCORED, RISK = "comparison_reports", "panel_report", "scored_forecasts", "value_at_risk"
RISK_SETTINGS = ("risk_levels", "risk_tails", "risk_method")
COMPARISON_TABLES = (
    "leaderboard",
    "scores",
    "mincer_zarnowitz",
    "model_comparisons",
    "backtests",
    "backtest_paths",
    "verdicts",
)
PANEL_TABLES = ("panel_leaderboard", "panel_comparisons", "panel_verdicts")
# The rows of a comparison are read for this many tickers in one statement.
TICKERS_AT_ONCE = 20
_SCORED = """
    SELECT f.ticker, f.model, f.horizon, f.refit_month, f.origin_date, f.variance, f.lower, f.upper,
        r.proxy_variance AS realized_variance, r.squared_return, f.sessions_per_year
    FROM forecasts f JOIN realized r USING (ticker, origin_date, horizon)
    WHERE f.ticker IN (SELECT unnest($tickers)) AND f.model IN (SELECT unnest($models))
    ORDER BY ticker, model, horizon, origin_date
"""


def comparison_steps(_settings: Settings, models: tuple[Model, ...]) -> Iterator[Step]:
    """Yield the comparison of a ticker and the panel."""
    shared: dict[str, Any] = {"group": "evaluation", "kinds": ("duckdb", "python"), "has_page": True}
    coverage = ticker_check(
        "leaderboard", lambda state, board: row_checks.coverage_off(board, state.context.settings.interval_level)
    )
    complete = ticker_check("verdicts", lambda _state, verdicts: row_checks.tables_not_computed(verdicts))
    leakage = ticker_check("audit_results", lambda _state, results: row_checks.audit_failures(results))
    yield Step(
        name=COMPARISON,
        scope=Scope.TICKER,
        tables=COMPARISON_TABLES,
        upstream=(*dict.fromkeys(f"{model.family}_forecasts" for model in models), BACKTESTS, FEATURES),
        description="Leaderboard, tests and backtests of a ticker over all its forecasts.\n\n"
        "Grain: one row per ticker, model and horizon in `leaderboard`; the other comparison tables beside it. Every "
        "current model is in it, whatever the last run fitted. Every score is of forecasts whose sessions have passed.",
        fingerprint=_comparison_hash,
        compute=comparison_rows,
        job="compare",
        load=_load_scored,
        gap=_no_outcome,
        checks=(
            Check("tables_complete", "Whether every table of the comparison was computed.", complete, blocking=True),
            Check("intervals_cover", "Whether realised coverage is what the intervals promise.", coverage),
            Check("no_leakage", "Whether an audit for leakage was run, and what the last one found.", leakage),
            Check("issued_stands", "Whether what was issued on the day is what is stored now.", parted),
            current_check(FORECAST),
        ),
        cells_per_job=1,
        **shared,
    )
    yield Step(
        name=PANEL,
        scope=Scope.ONCE,
        tables=PANEL_TABLES,
        upstream=(COMPARISON,),
        description="The comparison over every ticker that has one: pooled scores, wins and pooled tests.\n\n"
        "Grain: one row per model and horizon.",
        fingerprint=_panel_hash,
        compute=panel_rows,
        job="compare_panel",
        load=_load_panel,
        needs_features=False,
        gap=lambda state, *_: "" if state.stored_hashes.hashes("leaderboard") else "no ticker has a comparison yet",
        **shared,
    )


def backtest_rules(settings: Settings) -> Rules:
    """Return the settings' rules of the volatility-target strategies."""
    cost = (settings.transaction_cost_bps + settings.slippage_bps) / 10_000
    return Rules(target=settings.target_volatility, max_leverage=settings.max_leverage, cost=cost)


def comparison_rows(inputs: Inputs) -> Output:
    """Return the comparison tables of one ticker."""
    rules = backtest_rules(inputs.settings)
    return Output(compare_ticker(inputs.rows[SCORED], inputs.table, rules, inputs.rows[RISK]))


def panel_rows(inputs: Inputs) -> Output:
    """Return the panel tables over every ticker that has a leaderboard."""
    scored = inputs.rows[SCORED]
    sentences = panel_verdict(scored)
    texts = pd.DataFrame({"position": range(1, len(sentences) + 1), "text": pd.Series(sentences, dtype=object)})
    tables = pooled_scores(scored, inputs.rows["leaderboard"]), panel_comparison(scored), texts
    return Output(dict(zip(PANEL_TABLES, tables, strict=True)))


def _comparison_hash(state: State, partition: Partition, _model: Model | None) -> str:
    cells = sorted((model, month, value) for (model, month), value in state.current_forecasts(partition.ticker).items())
    if not cells:
        return ""
    settings = state.context.settings
    rules = str(backtest_rules(settings))
    values = [value for *_, value in cells]
    risk = {name: getattr(settings, name) for name in RISK_SETTINGS}
    # With the defaults the hash is that of a release that had no such settings.
    changed = [risk] if any(risk[name] != Settings.model_fields[name].default for name in RISK_SETTINGS) else []
    features = state.fingerprints(partition).features()
    return digest(values, features, rules, CODE_VERSIONS["comparison"], *changed)


def _panel_hash(state: State, _partition: Partition, _model: Model | None) -> str:
    boards = {(place.ticker, value) for (place, _), value in state.stored_hashes.hashes("leaderboard").items()}
    return digest(sorted(boards), CODE_VERSIONS["comparison"])


def _no_outcome(state: State, partition: Partition, _model: Model | None) -> str:
    if not state.current_forecasts(partition.ticker):
        return f"no current forecast of {partition.ticker} is stored: materialize its forecasts first"
    if not state.has_outcome(partition.ticker):
        return f"no forecast of {partition.ticker} has a realised outcome yet: add a month that has passed"
    return ""


def _load_scored(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Rows]:
    tickers = [partition.ticker for partition in partitions]
    risk = state.context.warehouse.read(RISK, ticker=tickers)
    return {
        Partition(ticker): {SCORED: rows, RISK: risk[risk["ticker"] == ticker]}
        for ticker, rows in scored_forecasts(state, tickers).items()
    }


def scored_forecasts(state: State, tickers: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return the current forecasts of tickers whose sessions have passed, with outcomes, by ticker."""
    found: dict[str, pd.DataFrame] = {}
    for start in range(0, len(tickers), TICKERS_AT_ONCE):
        some = list(tickers[start : start + TICKERS_AT_ONCE])
        current = {ticker: state.current_forecasts(ticker) for ticker in some}
        models = sorted({model for cells in current.values() for model, _ in cells})
        rows = state.context.warehouse.query(_SCORED, {"tickers": some, "models": models})
        if sum(map(len, current.values())) < sum(map(state.stored_forecasts, some)):
            places = zip(rows["ticker"], rows["model"], rows["refit_month"], strict=True)
            rows = rows[[(model, month) in current[ticker] for ticker, model, month in places]]
        for ticker, part in rows.drop(columns="refit_month").groupby("ticker", sort=False):
            found[str(ticker)] = without_suspects(
                part.reset_index(drop=True), state.ticker(Partition(str(ticker))).bars
            )
    return found


def without_suspects(scored: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    """Return `scored` without outcomes of sessions whose open, high or low is probably wrong."""
    suspect = suspect_ranges(bars).before(len(bars))
    if not len(suspect):
        return scored
    origin = pd.DatetimeIndex(bars.index).get_indexer(pd.DatetimeIndex(scored["origin_date"]))
    # Sessions of an origin are the `horizon` bars after it.
    hit = np.searchsorted(suspect, origin, "right") < np.searchsorted(suspect, origin + scored["horizon"], "right")
    return scored.assign(realized_variance=scored["realized_variance"].mask(hit))


def _load_panel(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Rows]:
    board = state.context.warehouse.read("leaderboard")
    scored = scored_forecasts(state, sorted(board["ticker"].unique()))
    rows = pd.concat(scored.values(), ignore_index=True) if scored else pd.DataFrame()
    return {partition: {"leaderboard": board, SCORED: rows} for partition in partitions}
