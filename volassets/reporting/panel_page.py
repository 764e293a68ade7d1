"""The page over all tickers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote

import pandas as pd

from volassets.evaluation.accuracy_tests import too_few
from volassets.evaluation.verdict import TOO_FEW, p_cell
from volassets.reporting import html
from volassets.reporting.html import Section, TableColumn
from volassets.reporting.page_data import Store
from volassets.reporting.palette import look_of, model_order
from volassets.reporting.panel_rows import COURSE_SESSIONS, ticker_rows
from volassets.reporting.sections.portfolios import portfolio_section
from volassets.reporting.sections.provenance import settings_and_versions, stored_versions
from volassets.reporting.sections.scores import TOO_FEW_NOTE
from volassets.reporting.ticker_page import FOOTER
from volassets.settings import Settings

NOTHING = "No ticker has been compared yet: run a refit month that has passed."
LEADERBOARD = {
    "model": TableColumn("model", model=True),
    "tickers": TableColumn("tickers", html.count),
    "n": TableColumn("origins", html.count),
    "qlike": TableColumn("QLIKE", html.decimals(3), best="low"),
    "qlike_vs_gjr": TableColumn("against gjr", html.signed_percent),
    "rmse": TableColumn("RMSE", html.percent, best="low"),
    "mae": TableColumn("MAE", html.percent, best="low"),
    "r2": TableColumn("R²", html.decimals(2), best="high"),
    "coverage_90": TableColumn("in band", html.percent),
    "in_confidence_set": TableColumn("in 90 % set", html.count),
}
BY_TICKER = {
    "model": TableColumn("model", model=True),
    "tickers": TableColumn("tickers", html.count),
    "better": TableColumn("better than gjr", html.count),
    "mean": TableColumn("mean", html.signed_percent),
    "mark": TableColumn("", draw=str),
    "low": TableColumn("10 % of tickers below", html.signed_percent),
    "high": TableColumn("10 % above", html.signed_percent),
}
UNRANKED = {name: replace(column, best="") for name, column in LEADERBOARD.items()}
COMPARISONS = {
    "model": TableColumn("model", model=True),
    "against": TableColumn("against"),
    "tickers": TableColumn("tickers", html.count),
    "wins": TableColumn("wins", html.count),
    "significant_wins": TableColumn("significant", html.count),
    "significant_losses": TableColumn("significant losses", html.count),
    "mean_difference": TableColumn("mean difference", html.signed_percent),
    "p_pooled": TableColumn("p pooled", p_cell),
    "n": TableColumn("origins", html.count),
}


def panel_page(store: Store, settings: Settings, links: Mapping[str, str]) -> str:
    """Return the report over all tickers as one self-contained HTML page, from what is stored.

    `links` leads from a ticker, or portfolio_NAME, to the name of its report's file, for those that have one.
    """
    board = store.read("leaderboard")
    tickers = [ticker for ticker in settings.tickers if ticker in set(board["ticker"])]
    tickers += sorted(set(board["ticker"]) - set(tickers))
    sections = [
        _tickers(store, settings, tickers, links),
        *portfolio_section(store, settings, links),
        _verdicts(store),
        _leaderboard(store),
        _by_ticker(board),
        _comparisons(store),
        settings_and_versions(settings, stored_versions(store, tickers)),
    ]
    lead = f"{len(tickers)} ticker{'' if len(tickers) == 1 else 's'} compared." if tickers else NOTHING
    return html.page(
        "Volatility forecasts: all tickers",
        lead,
        sections,
        FOOTER.format(sessions="the sessions a year of each ticker's calendar"),
    )


def _verdicts(store: Store) -> Section:
    rows = store.read("panel_verdicts")
    body = html.sentences(list(rows["text"])) if len(rows) else html.missing("Nothing can be said over tickers yet.")
    return Section("verdicts", "Verdicts", body)


def _tickers(store: Store, settings: Settings, tickers: Sequence[str], links: Mapping[str, str]) -> Section:
    if not tickers:
        return Section("tickers", "Tickers", html.missing(NOTHING))
    rows, limits = ticker_rows(store, settings, tickers)
    columns = {
        "ticker": TableColumn("ticker", link=lambda ticker: quote(links.get(ticker, ""))),
        "course": TableColumn(f"last {COURSE_SESSIONS} sessions", draw=html.sparkline),
        "bar": TableColumn("newest bar", html.number),
        "model": TableColumn("model", model=True),
        **{f"volatility_{h}": TableColumn(f"h = {h}", html.percent) for h in settings.horizons},
        **{name: TableColumn(heading, html.percent) for name, heading in limits.items()},
        "traffic_light": TableColumn("Basel"),
        "qlike": TableColumn(f"QLIKE, h = {min(settings.horizons)}", html.decimals(3)),
        "qlike_vs_gjr": TableColumn("against gjr", html.signed_percent),
        "coverage_90": TableColumn("in band", html.percent),
        **({"old": TableColumn("forecast")} if (rows["old"] == "old").any() else {}),
        "findings": TableColumn("findings", html.count),
        "audit": TableColumn("audit"),
    }
    note = (
        "The newest forecasts by horizon h, annualised volatilities, from each ticker's headline model: the one with "
        "the lowest QLIKE at one session over the outcomes known at that close. Value at risk (VaR) and expected "
        "shortfall (ES) are of the next session. Old: later sessions are stored; `volassets run` forecasts from them. "
        "Press a heading to sort."
    )
    return Section("tickers", "Tickers", html.paragraph(note, "note") + html.table(rows, columns))


def _leaderboard(store: Store) -> Section:
    rows = store.read("panel_leaderboard").sort_values(["horizon", "qlike"], kind="stable")
    if rows.empty:
        return Section("leaderboard", "Leaderboard", html.missing(NOTHING))
    note = "Means over tickers of the scores on the tickers and days that the models share; in bold the best value."
    parts = [html.paragraph(note, "note")]
    for horizon, own in rows.groupby("horizon", sort=True):
        apart = ~own["complete"].fillna(True).astype(bool)
        few = too_few(int((own["n"] / own["tickers"]).max()), int(str(horizon)))
        parts += [f"<h3>h = {horizon}</h3>", *([html.paragraph(TOO_FEW_NOTE, "note")] if few else [])]
        parts.append(html.table(own[~apart], UNRANKED if few else LEADERBOARD))
        if apart.any():
            parts.append(
                html.paragraph("On tickers and days of their own, so not comparable with the rows above:", "note")
            )
            parts.append(html.table(own[apart], UNRANKED))
    return Section("leaderboard", "Leaderboard", "\n".join(parts))


def _by_ticker(board: pd.DataFrame) -> Section:
    title, rows = "QLIKE against gjr by ticker", board.dropna(subset=["qlike_vs_gjr"])
    rows = rows[rows["model"] != "gjr"]
    if rows.empty:
        return Section("by-ticker", title, html.missing("No comparison with gjr is stored: add gjr to the models."))
    text = "Relative QLIKE difference to gjr: the mean over tickers, and where four of five tickers lie."
    parts = [html.paragraph(f"{text} Left of zero is better.", "note")]
    for horizon, own in rows.groupby("horizon", sort=True):
        groups = own.groupby("model")["qlike_vs_gjr"]
        table = (
            pd.DataFrame(
                {
                    "tickers": groups.size(),
                    "better": groups.agg(lambda values: int((values < 0).sum())),
                    "mean": groups.mean(),
                    "low": groups.quantile(0.1),
                    "high": groups.quantile(0.9),
                }
            )
            .loc[model_order(own["model"])]
            .reset_index()
        )
        span = (min(float(table["low"].min()), 0.0), max(float(table["high"].max()), 0.0))
        table["mark"] = [
            html.interval_mark(low, mean, high, span, 0.0, look_of(model).colour)
            for model, low, mean, high in table[["model", "low", "mean", "high"]].to_numpy().tolist()
        ]
        parts += [f"<h3>h = {horizon}</h3>", html.table(table, BY_TICKER)]
    return Section("by-ticker", title, "\n".join(parts))


def _comparisons(store: Store) -> Section:
    rows, title = store.read("panel_comparisons"), "Tests over tickers"
    if rows.empty:
        return Section("tests", title, html.missing("No two models share enough days to be tested."))
    note = (
        "Wins: tickers with the lower mean QLIKE; significant: p < .05. The pooled test is on the difference averaged "
        f"over the tickers of a day, because tickers share their days. No test where a ticker has {TOO_FEW}."
    )
    parts = [html.paragraph(note, "note")]
    for horizon, own in rows.groupby("horizon", sort=True):
        ordered = own.sort_values("mean_difference", kind="stable")
        tested = ["significant_wins", "significant_losses"]
        ordered[tested] = ordered[tested].where(ordered["p_pooled"].notna())
        parts += [f"<h3>h = {horizon}</h3>", html.table(ordered, COMPARISONS)]
    return Section("tests", title, "\n".join(parts))
