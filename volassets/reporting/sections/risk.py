"""Value at risk and expected shortfall: the newest numbers, the record, the tests."""

from __future__ import annotations

from volassets.evaluation.risk_tests import TRAFFIC_LIGHT_SESSIONS
from volassets.evaluation.verdict import p_cell
from volassets.reporting import html
from volassets.reporting.charts import others as charts
from volassets.reporting.charts.chart import Chart
from volassets.reporting.html import Section, TableColumn, with_charts
from volassets.reporting.page_data import TickerData
from volassets.reporting.palette import model_order
from volassets.reporting.risk_record import live_record, risk_path
from volassets.reporting.sections.scores import not_compared

NEWEST = {
    "level": TableColumn("level", html.percent),
    "tail": TableColumn("tail"),
    "horizon": TableColumn("sessions"),
    "origin_date": TableColumn("made at the close of", html.number),
    "target_date": TableColumn("from", html.number),
    "value_at_risk": TableColumn("value at risk", html.percent),
    "expected_shortfall": TableColumn("expected shortfall", html.percent),
    "method": TableColumn("method"),
}
TESTS = {
    "model": TableColumn("model", model=True),
    "n": TableColumn("origins", html.count),
    "violations": TableColumn("violations", html.count),
    "violation_rate": TableColumn("share", html.percent),
    "kupiec_p": TableColumn("p Kupiec", p_cell),
    "christoffersen_p": TableColumn("p Christoffersen", p_cell),
    "dynamic_quantile_p": TableColumn("p dynamic quantile", p_cell),
    "es_p": TableColumn("p shortfall", p_cell),
    "fz_loss": TableColumn("FZ0", html.decimals(3), best="low"),
    "traffic_light": TableColumn("Basel"),
}
LIVE = {
    "model": TableColumn("model", model=True),
    "n": TableColumn("sessions", html.count),
    "issued_qlike": TableColumn("QLIKE as issued", html.decimals(3), best="low"),
    "stored_qlike": TableColumn("as stored now", html.decimals(3)),
    "largest_difference": TableColumn("largest difference", html.percent),
}
LIVE_RISK = {
    "model": TableColumn("model", model=True),
    "tail": TableColumn("tail"),
    "level": TableColumn("level", html.percent),
    "n": TableColumn("sessions", html.count),
    "violations": TableColumn("violations", html.count),
    "violation_rate": TableColumn("share", html.percent),
}


def newest_risk(data: TickerData) -> str:
    """Return the newest value at risk and expected shortfall of the headline model; empty without any."""
    rows = data.newest_risk
    rows = rows[rows["model"] == data.headline["model"]] if data.headline is not None else rows
    return "<h3>Newest value at risk</h3>" + html.table(rows, NEWEST) if len(rows) else ""


def value_at_risk(data: TickerData) -> Section:
    """Return the newest numbers, the returns with the value at risk, and one table of tests per level and tail."""
    title, table = "Value at risk and expected shortfall", data.table("risk_backtests")
    table = table[(table["n"] > 0) & (table["horizon"] == 1)]
    newest = newest_risk(data)
    if table.empty:
        text = not_compared(data) if data.leaderboard.empty else "Too few days for a value at risk."
        return Section("risk", title, newest + html.missing(text) + "".join(_live(data)))
    parts: list[str | Chart] = [newest, *_charts(data)]
    note = (
        "One session, from each model's own earlier forecasts. A small p rejects: Kupiec the share of violations, "
        "Christoffersen their independence, the dynamic quantile that nothing known explains them, the last that "
        f"losses beyond are no larger than forecast. Basel counts violations of the 1 % value at risk in the last "
        f"{TRAFFIC_LIGHT_SESSIONS} sessions: green to 4, yellow to 9, red from 10."
    )
    parts.append(html.paragraph(note, "note"))
    if (table["n"] < TRAFFIC_LIGHT_SESSIONS).any():
        text = f"too few to judge: the tests need {TRAFFIC_LIGHT_SESSIONS} sessions of out-of-sample residuals"
        parts.append(html.missing(f"{table['n'].min():,} to {table['n'].max():,} sessions, {text}."))
    for (tail, level), rows in table.groupby(["tail", "level"], sort=False):
        ordered = rows.set_index("model").loc[model_order(rows["model"])].reset_index()
        parts += [f"<h3>{100 * float(str(level)):g} % value at risk, {tail} tail</h3>", html.table(ordered, TESTS)]
    return with_charts("risk", title, [*parts, *_live(data)])


def _live(data: TickerData) -> list[str]:
    """Return how what was issued on the day has held; nothing before there are enough sessions."""
    live = live_record(data)
    parts = []
    if len(live.forecasts):
        note = "As issued on the day by the schedules, one session ahead; nothing rewrites these rows."
        parts += ["<h3>Live record</h3>", html.paragraph(note, "note"), html.table(live.forecasts, LIVE)]
    if len(live.risk):
        parts.append(html.table(live.risk, LIVE_RISK))
    return parts


def _charts(data: TickerData) -> list[Chart]:
    path = risk_path(data)
    if path is None:
        return []
    own, level = path.rows, path.level
    caption = (
        f"Returns and the {100 * level:g} % value at risk of {path.model}, {path.tail} tail, known at the close "
        f"before; a dot is a violation, {int(own['violation'].sum())} of {len(own):,} sessions."
    )
    parts = [charts.returns_and_limit(own, path.model, caption)]
    if len(own) > TRAFFIC_LIGHT_SESSIONS and level == 0.01:
        caption = f"Violations in the last {TRAFFIC_LIGHT_SESSIONS} sessions, with Basel's bands."
        parts.append(charts.violation_count(own, caption))
    return parts
