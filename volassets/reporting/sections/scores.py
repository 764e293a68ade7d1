"""Verdicts, leaderboard, forecasts against outcomes, losses by month, coverage."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from volassets.evaluation.accuracy_tests import FEWEST_WINDOWS, too_few
from volassets.evaluation.verdict import TOO_FEW, headline_text, p_cell
from volassets.reporting import html
from volassets.reporting.html import Section, TableColumn
from volassets.reporting.page_data import BASELINE, TickerData
from volassets.reporting.plots import forecasts as plots

SCATTER_MODELS = 6
OLD = "This forecast is old: later sessions are stored, `volassets run` forecasts from them."
TOO_FEW_NOTE = f"Fewer than {FEWEST_WINDOWS} windows without overlap: {TOO_FEW} the models apart, so no tests."
LEADERBOARD = {
    "model": TableColumn("model", model=True),
    "n": TableColumn("origins", html.count),
    "qlike": TableColumn("QLIKE", html.decimals(3), best="low"),
    "qlike_vs_gjr": TableColumn("against gjr", html.signed_percent),
    "dm_p": TableColumn("p (DM)", p_cell),
    "mcs_p": TableColumn("p (MCS)", p_cell),
    "rmse": TableColumn("RMSE", html.percent, best="low"),
    "mae": TableColumn("MAE", html.percent, best="low"),
    "r2": TableColumn("R²", html.decimals(2), best="high"),
    "bias": TableColumn("bias", html.signed_percent),
    "mz_slope": TableColumn("MZ slope", html.decimals(2)),
    "coverage_90": TableColumn("in band", html.percent),
}


def verdicts(data: TickerData) -> Section:
    """Return what the tests say, leaderboard first."""
    rows = data.table("verdicts")
    order = {"leaderboard": 0, "backtests": 1, "value_at_risk": 2}
    rows = rows.assign(order=rows["topic"].map(order).fillna(len(order))).sort_values(["order", "horizon"])
    body = html.sentences(list(rows["text"])) if len(rows) else html.missing(not_compared(data))
    return Section("verdicts", "Verdicts", body + _latest(data))


def leaderboard(data: TickerData) -> Section:
    """Return one table per horizon."""
    board = data.leaderboard
    if board.empty:
        return Section("leaderboard", "Leaderboard", html.missing(not_compared(data)))
    note = (
        "Over the origins that all models have. QLIKE compares variances, lower is better; RMSE and MAE are of "
        "annualised volatilities, in points; bias is the mean forecast over the mean realised variance, less 1. "
        "DM: Diebold-Mariano test on QLIKE against gjr, two-sided. MCS: model confidence set, the 90 % set holds "
        "those of at least .10. In bold: the best value, which need not be significantly better."
    )
    parts = [html.paragraph(note, "note")]
    for horizon, rows in board.groupby("horizon"):
        parts.append(f"<h3>h = {horizon}: the next {'session' if horizon == 1 else f'{horizon} sessions'}</h3>")
        few = too_few(int(rows["n"].max()), int(str(horizon)))
        if few:
            parts.append(html.paragraph(TOO_FEW_NOTE, "note"))
        columns = {name: replace(column, best="" if few else column.best) for name, column in LEADERBOARD.items()}
        parts.append(html.table(rows[~rows["apart"]], columns))
        if rows["apart"].any():
            parts.append(html.paragraph("On fewer days of their own, so not comparable with the rows above:", "note"))
            parts.append(html.table(rows[rows["apart"]], LEADERBOARD))
    return Section("leaderboard", "Leaderboard", "\n".join(parts))


def forecasts(data: TickerData) -> Section:
    """Return the headline model's path with its band at every horizon, and the scatter."""
    if data.scored.empty:
        return Section("forecasts", "Forecast against realised", html.missing(not_compared(data)))
    model, level = data.drawn, data.settings.interval_level
    parts = []
    for horizon in data.horizons:
        rows = data.forecasts_of(model, horizon)
        if rows.empty:
            continue
        span = "the session" if horizon == 1 else f"the {horizon} sessions from the date on"
        caption = (
            f"{model}, h = {horizon}: forecast and realised volatility of {span}, with the {html.whole_percent(level)} "
            f"band. Each forecast was made at the close before its date. {_path_note(rows)}"
        )
        parts.append(html.picture(plots.forecast_band(rows, model, level), f"forecast-{horizon}", caption))
    shown = data.leaderboard.loc[data.leaderboard["horizon"] == data.horizons[0], "model"].head(SCATTER_MODELS)
    caption = (
        f"Realised against forecast volatility, h = {data.horizons[0]}, a point per session, of the "
        f"{len(shown)} models with the lowest QLIKE. On the line the two agree."
    )
    rows = data.scored[data.scored["horizon"] == data.horizons[0]]
    parts.append(html.picture(plots.scatter(rows, list(shown)), "scatter", caption))
    return Section("forecasts", "Forecast against realised", "\n".join(parts))


def months(data: TickerData) -> Section:
    """Return QLIKE by month against the baseline."""
    name, title = "months", f"QLIKE by month against {BASELINE}"
    if data.scored.empty:
        return Section(name, title, html.missing(not_compared(data)))
    horizon = data.horizons[0]
    means, daily = data.qlike_by_month(horizon), data.daily_qlike(horizon)
    if BASELINE not in means.columns or len(means.columns) < 2:
        text = f"Nothing to compare: the forecasts are of {', '.join(means.columns)}; add {BASELINE} to the models."
        return Section(name, title, html.missing(text))
    caption = f"Monthly mean QLIKE less {BASELINE}'s, h = {horizon}. Blue: better than {BASELINE} in that month."
    body = html.picture(plots.qlike_months(means, BASELINE), "qlike-months", caption)
    if len(means) < 2:
        body += html.missing("One month only: nothing to add up over time yet.")
    elif len(daily) < 2 or len(daily.columns) < 2:
        body += html.missing("The models share too few days to add up their differences.")
    else:
        caption = f"Running sum of the daily differences, h = {horizon}. A falling line gains on {BASELINE}; one step "
        caption += "is one day that decides a lot."
        body += html.picture(plots.cumulative_qlike(daily, BASELINE), "qlike-sum", caption)
    return Section(name, title, body)


def coverage(data: TickerData) -> Section:
    """Return how often the realised volatility lay inside the band."""
    title = "Coverage of the intervals"
    board = data.leaderboard.dropna(subset=["coverage_90"]) if len(data.leaderboard) else data.leaderboard
    if board.empty:
        return Section("coverage", title, html.missing("No interval has been met by an outcome yet."))
    level = data.settings.interval_level
    caption = f"Share of realised volatilities inside the band; the line is the nominal {html.whole_percent(level)}."
    return Section("coverage", title, html.picture(plots.coverage(board, level), "coverage", caption))


def slices(data: TickerData) -> Section:
    """Return QLIKE by year and by volatility regime, a row per model."""
    title = "Scores by year and regime"
    rows = data.table("scores")
    rows = rows[(rows["target"] == "proxy") & rows["slice_kind"].isin(["year", "regime"])] if len(rows) else rows
    if rows.empty:
        return Section("slices", title, html.missing(not_compared(data)))
    note = "Mean QLIKE; the best of a column in bold where its days suffice. A regime is a third of the days by their "
    parts = [html.paragraph(f"{note}past volatility, as known at the origin.", "note")]
    for horizon, own in rows.groupby("horizon"):
        wide = own.pivot_table(index="model", columns="slice", values="qlike", sort=False)
        years = sorted(own.loc[own["slice_kind"] == "year", "slice"].unique())
        names = [*years, *(name for name in ("low", "middle", "high") if name in wide.columns)]
        wide = wide.loc[[model for model in data.models if model in wide.index], names].reset_index()
        counts = own.groupby("slice")["n"].max()
        columns = {"model": TableColumn("model", model=True)}
        for name in names:
            best = "" if too_few(counts[name], int(str(horizon))) else "low"
            columns[name] = TableColumn(f"{name} (n = {counts[name]})", html.decimals(3), best)
        parts += [f"<h3>h = {horizon}</h3>", html.table(wide, columns)]
    return Section("slices", title, "\n".join(parts))


def not_compared(data: TickerData) -> str:
    """Return the sentence for a ticker without a comparison."""
    return f"No forecast of {data.ticker} has been compared with an outcome yet: run a refit month that has passed."


def _path_note(rows: pd.DataFrame) -> str:
    return "Weekly means." if len(rows) > 3 * plots.DAILY_SESSIONS else "A dot is a session."


def _latest(data: TickerData) -> str:
    rows = data.table("latest_forecasts")
    if rows.empty:
        return ""
    rows = rows[rows["headline"].astype(bool)]
    level = html.whole_percent(data.settings.interval_level)
    columns = {
        "model": TableColumn("model", model=True),
        "horizon": TableColumn("sessions"),
        "origin_date": TableColumn("made at the close of", html.number),
        "target_date": TableColumn("from", html.number),
        "volatility": TableColumn("ann. volatility", html.percent),
        "lower": TableColumn(f"{level} from", html.percent),
        "upper": TableColumn("to", html.percent),
    }
    note = html.paragraph(headline_text(data.headline), "note") if data.headline is not None else ""
    old = html.missing(OLD) if rows["old"].any() else ""
    return "<h3>Newest forecast</h3>" + note + old + html.table(rows.sort_values("horizon"), columns)
