"""Verdicts, leaderboard, forecasts against outcomes, losses by month, coverage."""

from __future__ import annotations

from dataclasses import replace

from volassets.evaluation.accuracy_tests import FEWEST_WINDOWS, too_few
from volassets.evaluation.verdict import TOO_FEW, p_cell
from volassets.reporting import html
from volassets.reporting.charts import forecasts as charts
from volassets.reporting.charts.chart import Chart
from volassets.reporting.html import Section, TableColumn, with_charts
from volassets.reporting.page_data import BASELINE, TickerData
from volassets.reporting.palette import look_of

# Days that a year must have to be a column: fewer say nothing about a year.
FEWEST_OF_YEAR = 20
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
    return Section("verdicts", "Verdicts", body)


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
    """Return the chart of every model's forecasts with its band at every horizon, the headline model's at first."""
    title = "Forecast against realised"
    if not data.paths or data.headline is None:
        return Section("forecasts", title, html.missing(not_compared(data)))
    drawn = str(data.headline["model"])
    caption = (
        f"Forecast and realised volatility with the {html.whole_percent(data.settings.interval_level)} band; each "
        "forecast was made at the close before its date, for so many sessions from it on. Drag over a period to see it "
        "larger, twice quickly for all; a name switches its line."
    )
    return with_charts("forecasts", title, [charts.forecast_paths(data.paths, drawn, caption)])


def agreement(data: TickerData) -> Section:
    """Return the chart of outcomes over forecasts."""
    name, title = "agreement", "Agreement of forecast and realised"
    if data.leaderboard.empty or not data.paths:
        return Section(name, title, html.missing(not_compared(data)))
    horizon = data.horizons[0]
    ranked = data.leaderboard.loc[data.leaderboard["horizon"] == horizon, "model"]
    models = [str(model) for model in ranked if model in data.paths[horizon].models]
    caption = f"Realised over forecast volatility, h = {horizon}, a dot per session. On the line the two agree."
    return with_charts(name, title, [charts.scatter(models, horizon, caption)])


def months(data: TickerData) -> Section:
    """Return QLIKE by month against the baseline."""
    name, title = "months", f"QLIKE by month against {BASELINE}"
    if data.leaderboard.empty or not data.paths:
        return Section(name, title, html.missing(not_compared(data)))
    horizon = data.horizons[0]
    paths = data.paths[horizon]
    means = charts.monthly_qlike(paths)
    if BASELINE not in means.columns or len(means.columns) < 2:
        text = f"Nothing to compare: the forecasts are of {', '.join(means.columns)}; add {BASELINE} to the models."
        return Section(name, title, html.missing(text))
    caption = f"Monthly mean QLIKE less {BASELINE}'s, h = {horizon}. Blue: better than {BASELINE} in that month."
    parts: list[str | Chart] = [charts.month_map(paths, BASELINE, caption)]
    models, shared = charts.shared_models(paths, BASELINE)
    if len(means) < 2:
        parts.append(html.missing("One month only: nothing to add up over time yet."))
    elif shared < 2 or not models:
        parts.append(html.missing("The models share too few days to add up their differences."))
    else:
        caption = f"Running sum of the daily differences, h = {horizon}. A falling line gains on {BASELINE}; one step "
        caption += "is one day that decides a lot."
        parts.append(charts.running_sum(models, BASELINE, horizon, caption))
    return with_charts(name, title, parts)


def coverage(data: TickerData) -> Section:
    """Return how often the realised volatility lay inside the band."""
    title = "Coverage of the intervals"
    board = data.leaderboard.dropna(subset=["coverage_90"]) if len(data.leaderboard) else data.leaderboard
    if board.empty:
        return Section("coverage", title, html.missing("No interval has been met by an outcome yet."))
    level = data.settings.interval_level
    text = f"Share of realised volatilities inside the band; the line is the nominal {html.whole_percent(level)}."
    shares = board.pivot(index="model", columns="horizon", values="coverage_90")
    rows = shares.reindex([model for model in data.models if model in shares.index]).reset_index()
    low, high = min(float(shares.min().min()), level) - 0.02, max(float(shares.max().max()), level) + 0.02
    columns: dict[object, TableColumn] = {"model": TableColumn("model", model=True)}
    for horizon in shares.columns:
        colours = [look_of(model).colour for model in rows["model"]]
        rows[f"mark_{horizon}"] = [
            html.interval_mark(min(v, level), v, max(v, level), (low, high), level, colour) if v == v else ""
            for v, colour in zip(rows[horizon], colours, strict=True)
        ]
        columns[horizon] = TableColumn(f"h = {horizon}", html.percent)
        columns[f"mark_{horizon}"] = TableColumn("", draw=str)
    return Section("coverage", title, html.paragraph(text, "note") + html.table(rows, columns))


def slices(data: TickerData) -> Section:
    """Return QLIKE by year and by volatility regime, a row per model."""
    title = "Scores by year and regime"
    rows = data.scores
    rows = rows[(rows["target"] == "proxy") & rows["slice_kind"].isin(["year", "regime"])] if len(rows) else rows
    if rows.empty:
        return Section("slices", title, html.missing(not_compared(data)))
    note = "Mean QLIKE; the best of a column in bold where its days suffice. A regime is a third of the days by their "
    note += "past volatility, as known at the origin; in brackets the number of sessions."
    days = rows[rows["slice_kind"] == "year"].groupby("slice")["n"].max()
    short = [f"{year} ({n})" for year, n in days.items() if n < FEWEST_OF_YEAR]
    note += f" Years of fewer than {FEWEST_OF_YEAR} sessions are left out: {', '.join(short)}." if short else ""
    parts = [html.paragraph(note, "note")]
    for horizon, own in rows.groupby("horizon"):
        wide = own.pivot(index="model", columns="slice", values="qlike")
        years = sorted(own.loc[(own["slice_kind"] == "year") & (own["n"] >= FEWEST_OF_YEAR), "slice"].unique())
        names = [*years, *(name for name in ("low", "middle", "high") if name in wide.columns)]
        wide = wide.loc[[model for model in data.models if model in wide.index], names].reset_index()
        counts = own.groupby("slice")["n"].max()
        columns = {"model": TableColumn("model", model=True)}
        for name in names:
            best = "" if too_few(counts[name], int(str(horizon))) else "low"
            columns[name] = TableColumn(f"{name} ({counts[name]})", html.decimals(3), best)
        parts += [f"<h3>h = {horizon}</h3>", html.table(wide, columns)]
    return Section("slices", title, "\n".join(parts))


def not_compared(data: TickerData) -> str:
    """Return the sentence for a ticker without a comparison."""
    return f"No forecast of {data.ticker} has been compared with an outcome yet: run a refit month that has passed."
