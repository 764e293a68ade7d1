"""The stages of a whole ticker: bars in, features, comparison; and the panel over tickers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from volassets.clock import utc_now
from volassets.errors import InputError, VolassetsError
from volassets.evaluation.backtest import Rules
from volassets.evaluation.panel import panel_comparison, panel_verdict, pooled_scores
from volassets.evaluation.ticker_report import compare_ticker
from volassets.features.table import build_features
from volassets.market.revisions import Update, update_bars
from volassets.market.sources import PriceSource
from volassets.market.validation import Finding, check_bars, require_valid
from volassets.orchestration.fingerprints import CODE_VERSIONS, digest
from volassets.orchestration.inputs import Run, TickerInputs
from volassets.orchestration.progress import Step, report
from volassets.orchestration.stored import StoredCells
from volassets.settings import Settings
from volassets.warehouse.store import Replacement, Upsert

SCORED = """
    SELECT f.ticker, f.model, f.horizon, f.origin_date, f.variance, f.lower, f.upper,
        r.proxy_variance AS realized_variance, r.squared_return
    FROM forecasts f JOIN realized r USING (ticker, origin_date, horizon)
    WHERE list_contains($tickers, f.ticker) AND list_contains($models, f.model)
    ORDER BY ticker, model, horizon, origin_date
"""


@dataclass(frozen=True)
class Ingested:
    """What taking in one ticker's bars did."""

    bars: pd.DataFrame
    revised: pd.DataFrame
    findings: list[Finding]
    changed_rows: int


class BarsRefused(InputError):
    """The source's bars break a blocking rule; the stored ones stay.

    Attributes
    ----------
    findings : list of Finding
    """

    def __init__(self, message: str, findings: list[Finding]) -> None:
        super().__init__(message)
        self.findings = findings


def ingest_prices(run: Run, ticker: str, source: PriceSource) -> Ingested:
    """Fetch, check and store one ticker's bars; only new and changed rows are written.

    Raises
    ------
    BarsRefused
        If the bars break a blocking rule.
    VolassetsError
        If the source does not answer. In both cases the stored bars stay, and `data_quality` says
        why they are old.
    """
    try:
        fetched = source.fetch(ticker)
        findings = checked_bars(run, ticker, fetched)
    except VolassetsError as error:
        _keep_refusal(run, ticker, error)
        raise
    now = utc_now().replace(tzinfo=None, microsecond=0)
    stored = run.bars(ticker)
    update = update_bars(ticker, stored, fetched, now)
    rows = _finding_rows(ticker, findings)
    run.warehouse.write(
        *_price_writes(ticker, source.name, update, stored, now),
        Replacement("data_quality", rows, pd.DataFrame({"ticker": [ticker]})),
    )
    report(Step("raw_prices", ticker, None, 1, 1))
    return Ingested(update.bars, update.revisions, findings, len(update.changed))


def checked_bars(run: Run, ticker: str, bars: pd.DataFrame) -> list[Finding]:
    """Return the warnings about `bars`.

    Raises
    ------
    BarsRefused
        If they break a blocking rule.
    """
    findings = check_bars(ticker, bars, run.calendar(ticker), utc_now().date(), proxy=run.settings.proxy)
    try:
        require_valid(ticker, findings)
    except InputError as error:
        raise BarsRefused(str(error), findings) from None
    return findings


def _keep_refusal(run: Run, ticker: str, error: VolassetsError) -> None:
    """Put the reason beside the warnings about the bars that stay."""
    findings = [f for f in getattr(error, "findings", []) if f.severity == "error"]
    findings = findings or [Finding("source", "error", str(error))]
    kept = run.warehouse.read("data_quality", ticker=ticker, severity="warning")
    rows = pd.concat([kept, _finding_rows(ticker, findings)], ignore_index=True)
    run.warehouse.write(Replacement("data_quality", rows, pd.DataFrame({"ticker": [ticker]})))


def _price_writes(
    ticker: str, source: str, update: Update, stored: pd.DataFrame, now: datetime
) -> list[Replacement | Upsert]:
    """Return what to write: the changed bars only, unless some were withdrawn; then the ticker's rows as a whole."""
    names: dict[str, Any] = {"ticker": ticker, "source": source, "fetched_at": now}
    writes: list[Replacement | Upsert] = []
    if len(update.revisions):
        writes.append(Upsert("price_revisions", update.revisions))
    if len(stored.index.difference(update.bars.index)):
        rows = update.bars.reset_index().assign(**names)
        writes.append(Replacement("raw_prices", rows, pd.DataFrame({"ticker": [ticker]})))
    elif len(update.changed):
        rows = update.bars.loc[update.changed].reset_index().assign(**names)
        writes.append(Upsert("raw_prices", rows, ignore=("fetched_at", "source")))
    return writes


def _finding_rows(ticker: str, findings: list[Finding]) -> pd.DataFrame:
    rows = [(ticker, f.check, f.severity, f.message, len(f.rows)) for f in findings]
    return pd.DataFrame(rows, columns=["ticker", "check_name", "severity", "message", "n_rows"])


def build_feature_table(run: Run, ticker: str) -> pd.DataFrame:
    """Write ``realized_vol_features`` of one ticker from its stored bars; return the table."""
    inputs = TickerInputs(run, ticker, run.bars(ticker))
    data_hash = inputs.fingerprints.features()
    if run.force or inputs.stored_features_hash != data_hash:
        settings = run.settings
        features = build_features(inputs.bars, inputs.calendar, lags=settings.lags, proxy=settings.proxy)
        rows = features.reset_index().assign(ticker=ticker, data_hash=data_hash)
        run.warehouse.write(Replacement("realized_vol_features", rows, pd.DataFrame({"ticker": [ticker]})))
    report(Step("realized_vol_features", ticker, None, 1, 1))
    return inputs.features


def comparison_is_stale(run: Run, ticker: str) -> str:
    """Return why the comparison of `ticker` has to be made again, or an empty text."""
    expected = _comparison_hash(run, ticker)
    if expected is None:
        return ""
    stored = run.warehouse.hashes("leaderboard", ticker)
    if stored.empty:
        return "missing"
    if run.force:
        return "forced"
    return "" if stored["data_hash"].iloc[0] == expected else "forecasts, bars or backtest settings changed"


def compare(run: Run, ticker: str) -> dict[str, pd.DataFrame]:
    """Write the comparison tables of one ticker over all its stored forecasts; return them.

    Raises
    ------
    InputError
        If no forecast of the ticker has a realised outcome yet.
    """
    data_hash = _comparison_hash(run, ticker)
    scored = run.warehouse.query(SCORED, {"tickers": [ticker], "models": list(run.settings.chosen_models)})
    if data_hash is None or scored.empty:
        raise InputError(
            f"no forecast of {ticker} has a realised outcome yet: materialize the forecasts of a month that has passed."
        )
    features = TickerInputs(run, ticker, run.bars(ticker)).features
    tables = compare_ticker(scored, features, backtest_rules(run.settings))
    tables["leaderboard"] = tables["leaderboard"].assign(data_hash=data_hash)
    cell = pd.DataFrame({"ticker": [ticker]})
    run.warehouse.write(*(Replacement(name, frame, cell) for name, frame in tables.items()))
    report(Step("comparison_reports", ticker, None, 1, 1))
    return tables


def panel_is_stale(run: Run) -> bool:
    """Return whether a ticker's comparison has changed since the panel was made."""
    boards = run.warehouse.read("leaderboard", columns=["ticker", "data_hash"])
    if boards.empty:
        return False
    stored = run.warehouse.read("panel_leaderboard", columns=["data_hash"])
    return run.force or stored.empty or stored["data_hash"].iloc[0] != _panel_hash(boards)


def compare_panel(run: Run) -> dict[str, pd.DataFrame]:
    """Write the panel tables over every ticker that has a leaderboard; return them.

    Raises
    ------
    InputError
        If no ticker has one.
    """
    board = run.warehouse.read("leaderboard")
    if board.empty:
        raise InputError("no ticker has a comparison yet: materialize comparison_reports of one first.")
    tickers = sorted(board["ticker"].unique())
    scored = run.warehouse.query(SCORED, {"tickers": tickers, "models": sorted(board["model"].unique())})
    sentences = panel_verdict(scored)
    tables = {
        "panel_leaderboard": pooled_scores(board).assign(data_hash=_panel_hash(board)),
        "panel_comparisons": panel_comparison(scored),
        "panel_verdicts": pd.DataFrame(
            {"position": range(1, len(sentences) + 1), "text": pd.Series(sentences, dtype=object)}
        ),
    }
    run.warehouse.write(*(Replacement(name, frame) for name, frame in tables.items()))
    report(Step("panel_report", "panel", None, 1, 1))
    return tables


def backtest_rules(settings: Settings) -> Rules:
    """Return the settings' rules of the volatility-target strategies."""
    cost = (settings.transaction_cost_bps + settings.slippage_bps) / 10_000
    return Rules(target=settings.target_volatility, max_leverage=settings.max_leverage, cost=cost)


def comparison_hash(inputs: TickerInputs, stored: StoredCells) -> str | None:
    """Return the fingerprint that a ticker's comparison should have; None where it has no forecasts."""
    settings = inputs.run.settings
    cells = [
        (name, month, value)
        for name, model in settings.chosen_models.items()
        for (month, found), value in stored.hashes(f"{model.family}_forecasts", inputs.ticker).items()
        if found == name
    ]
    if not cells:
        return None
    values = [value for *_, value in sorted(cells)]
    rules = str(backtest_rules(settings))
    return digest(values, inputs.fingerprints.features(), rules, CODE_VERSIONS["comparison"])


def _comparison_hash(run: Run, ticker: str) -> str | None:
    return comparison_hash(TickerInputs(run, ticker, run.bars(ticker)), StoredCells(run, [ticker]))


def _panel_hash(boards: pd.DataFrame) -> str:
    return digest(sorted({*zip(boards["ticker"], boards["data_hash"], strict=True)}), CODE_VERSIONS["comparison"])
