"""Value at risk and expected shortfall: the newest numbers, the record, the tests."""

from __future__ import annotations

import pandas as pd

from volassets.evaluation.risk_tests import TRAFFIC_LIGHT_SESSIONS
from volassets.evaluation.verdict import p_cell
from volassets.reporting import html
from volassets.reporting.html import Section, TableColumn
from volassets.reporting.page_data import TickerData
from volassets.reporting.palette import model_order
from volassets.reporting.plots import risk as plots
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
_PATH = """
    SELECT r.target_date, f."return" AS outcome, r.level, r.value_at_risk
    FROM risk_forecasts r JOIN realized_vol_features f ON f.ticker = r.ticker AND f.date = r.target_date
    WHERE r.ticker = $ticker AND r.model = $model AND r.horizon = 1 AND r.tail = $tail AND r.value_at_risk IS NOT NULL
    ORDER BY r.target_date
"""


def newest_risk(data: TickerData) -> str:
    """Return the newest value at risk and expected shortfall of the headline model; empty without any."""
    rows = data.table("latest_risk")
    rows = rows[rows["model"] == rows["model"].iloc[0]] if len(rows) else rows
    return "<h3>Newest value at risk</h3>" + html.table(rows, NEWEST) if len(rows) else ""


def value_at_risk(data: TickerData) -> Section:
    """Return the newest numbers, the returns with the value at risk, and one table of tests per level and tail."""
    title, table = "Value at risk and expected shortfall", data.table("risk_backtests")
    table = table[(table["n"] > 0) & (table["horizon"] == 1)]
    newest = newest_risk(data)
    if table.empty:
        text = not_compared(data) if data.leaderboard.empty else "Too few days for a value at risk."
        return Section("risk", title, newest + html.missing(text))
    parts = [newest, *_pictures(data)]
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
    return Section("risk", title, "\n".join(parts))


def _pictures(data: TickerData) -> list[str]:
    tail, model = data.settings.risk_tails[0], data.drawn
    rows = data.store.query(_PATH, {"ticker": data.ticker, "model": model, "tail": tail})
    if rows["target_date"].nunique() < 2:
        return []
    level = float(rows["level"].min())
    own = rows[rows["level"] == level].reset_index(drop=True)
    broken = own["outcome"] < own["value_at_risk"] if tail == "lower" else own["outcome"] > own["value_at_risk"]
    own = own.assign(violation=broken, target_date=pd.to_datetime(own["target_date"]))
    caption = (
        f"Returns and the {100 * level:g} % value at risk of {model}, {tail} tail, known at the close before; a dot is "
        f"a violation, {int(broken.sum())} of {len(own):,} sessions."
    )
    parts = [html.picture(plots.returns_and_limit(own, model), "risk-path", caption)]
    if len(own) > TRAFFIC_LIGHT_SESSIONS and level == 0.01:
        caption = f"Violations in the last {TRAFFIC_LIGHT_SESSIONS} sessions, with Basel's bands."
        parts.append(html.picture(plots.violation_count(own), "risk-count", caption))
    return parts
