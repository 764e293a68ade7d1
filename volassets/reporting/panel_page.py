"""The page over all tickers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import pandas as pd

from volassets.reporting import html
from volassets.reporting.html import Section, TableColumn
from volassets.reporting.page_data import Store
from volassets.reporting.palette import model_order
from volassets.reporting.plots import forecasts as plots
from volassets.reporting.sections.provenance import settings_and_versions, stored_versions
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
COMPARISONS = {
    "model": TableColumn("model", model=True),
    "against": TableColumn("against"),
    "tickers": TableColumn("tickers", html.count),
    "wins": TableColumn("wins", html.count),
    "significant_wins": TableColumn("significant", html.count),
    "significant_losses": TableColumn("significant losses", html.count),
    "mean_difference": TableColumn("mean difference", html.signed_percent),
    "p_pooled": TableColumn("p pooled", html.p_value),
    "n": TableColumn("origins", html.count),
}


def panel_page(store: Store, settings: Settings, links: Mapping[str, str]) -> str:
    """Return the report over all tickers as one self-contained HTML page, from what is stored.

    `links` leads from a ticker to the name of its report's file, for those that have one.
    """
    board = store.read("leaderboard")
    tickers = [ticker for ticker in settings.tickers if ticker in set(board["ticker"])]
    tickers += sorted(set(board["ticker"]) - set(tickers))
    sections = [
        _verdicts(store),
        _tickers(store, board, tickers, links),
        _newest(store, settings),
        _leaderboard(store),
        _by_ticker(board),
        _comparisons(store),
        settings_and_versions(settings, stored_versions(store, tickers)),
    ]
    lead = f"{len(tickers)} ticker{'' if len(tickers) == 1 else 's'} compared." if tickers else NOTHING
    return html.page("Volatility forecasts: all tickers", lead, sections, FOOTER)


def _verdicts(store: Store) -> Section:
    rows = store.read("panel_verdicts")
    body = html.sentences(list(rows["text"])) if len(rows) else html.missing("Nothing can be said over tickers yet.")
    return Section("verdicts", "Verdicts", body)


def _tickers(store: Store, board: pd.DataFrame, tickers: Sequence[str], links: Mapping[str, str]) -> Section:
    if not tickers:
        return Section("tickers", "Tickers", html.missing(NOTHING))
    audits = store.query("SELECT ticker, bool_and(passed) AS passed FROM audit_results GROUP BY ticker")
    audited = {row.ticker: "passed" if row.passed else "FAILED" for row in audits.itertuples()}
    findings = store.read("data_quality")["ticker"].value_counts().to_dict()
    best = board.sort_values(["horizon", "qlike"]).drop_duplicates("ticker").set_index("ticker").loc[list(tickers)]
    rows = best.reset_index().assign(
        findings=[int(findings.get(ticker, 0)) for ticker in tickers],
        audit=[audited.get(ticker, "not audited") for ticker in tickers],
    )
    columns = {
        "ticker": TableColumn("ticker", link=lambda ticker: quote(links.get(ticker, ""))),
        "n": TableColumn("origins", html.count),
        "model": TableColumn(f"lowest QLIKE, h = {int(board['horizon'].min())}"),
        "qlike": TableColumn("QLIKE"),
        "findings": TableColumn("findings"),
        "audit": TableColumn("audit"),
    }
    return Section("tickers", "Tickers", html.table(rows, columns))


def _newest(store: Store, settings: Settings) -> Section:
    rows = store.read("latest_forecasts")
    title = "Newest forecasts"
    if rows.empty:
        return Section("newest", title, html.missing(NOTHING))
    # The view puts the default model first, so a ticker's first model is the one to show.
    rows = rows[rows["model"] == rows.groupby("ticker")["model"].transform("first")]
    level = html.whole_percent(settings.interval_level)
    columns = {
        "ticker": TableColumn("ticker"),
        "model": TableColumn("model"),
        "horizon": TableColumn("sessions"),
        "origin_date": TableColumn("at the close of", html.number),
        "volatility": TableColumn("ann. volatility", html.percent),
        "lower": TableColumn(f"{level} from", html.percent),
        "upper": TableColumn("to", html.percent),
    }
    return Section("newest", title, html.table(rows.sort_values(["ticker", "horizon"]), columns))


def _leaderboard(store: Store) -> Section:
    rows = store.read("panel_leaderboard").sort_values(["horizon", "qlike"], kind="stable")
    if rows.empty:
        return Section("leaderboard", "Leaderboard", html.missing(NOTHING))
    parts = [html.paragraph("Plain means of the tickers' scores, each ticker on its own common days.", "note")]
    for horizon, own in rows.groupby("horizon", sort=True):
        parts += [f"<h3>h = {horizon}</h3>", html.table(own, LEADERBOARD)]
    return Section("leaderboard", "Leaderboard", "\n".join(parts))


def _by_ticker(board: pd.DataFrame) -> Section:
    title, rows = "QLIKE against gjr by ticker", board.dropna(subset=["qlike_vs_gjr"])
    rows = rows[rows["model"] != "gjr"]
    if rows.empty:
        return Section("by-ticker", title, html.missing("No comparison with gjr is stored: add gjr to the models."))
    caption = "Relative QLIKE difference to gjr, a point per ticker, the bar their mean; left of zero is better."
    order = model_order(rows["model"])
    return Section("by-ticker", title, html.picture(plots.qlike_by_ticker(rows, order), "by-ticker", caption))


def _comparisons(store: Store) -> Section:
    rows, title = store.read("panel_comparisons"), "Tests over tickers"
    if rows.empty:
        return Section("tests", title, html.missing("No two models share enough days to be tested."))
    note = (
        "Wins: tickers with the lower mean QLIKE; significant: p < .05. The pooled test is on the difference averaged "
        "over the tickers of a day, because tickers share their days."
    )
    parts = [html.paragraph(note, "note")]
    for horizon, own in rows.groupby("horizon", sort=True):
        ordered = own.sort_values("mean_difference", kind="stable")
        parts += [f"<h3>h = {horizon}</h3>", html.table(ordered, COMPARISONS)]
    return Section("tests", title, "\n".join(parts))
