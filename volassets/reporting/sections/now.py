"""The first screen: the next session's numbers, from which model, how old everything is, this year, the data."""

from __future__ import annotations

import math
from html import escape

import pandas as pd

from volassets.evaluation.verdict import headline_text
from volassets.market.calendar import calendar_for
from volassets.market.freshness import FAIL_AFTER, WARN_AFTER
from volassets.reporting import html
from volassets.reporting.html import Section, TableColumn, percent
from volassets.reporting.page_data import TickerData
from volassets.reporting.sections.scores import FEWEST_OF_YEAR, OLD, not_compared

# How far the reader's browser can count; beyond it says "more than".
COUNTED_SESSIONS = 40
MOST_FINDINGS = 3


def now(data: TickerData) -> Section:
    """Return what is asked first: tomorrow's volatility, value at risk and shortfall, and how far to trust them."""
    answers = [*_numbers(data), _bars(data), _forecasts(data), _this_year(data), _data(data)]
    note = html.missing(OLD) if len(data.newest) and data.newest["old"].any() else ""
    return Section("now", "Now", note + html.answers(answers))


def newest(data: TickerData) -> Section:
    """Return the newest forecasts of every model and horizon, with their value at risk and shortfall."""
    title, rows = "Newest forecasts", data.newest
    if rows.empty:
        return Section("newest", title, html.missing(_nothing(data)))
    level = html.whole_percent(data.settings.interval_level)
    columns = {
        "model": TableColumn("model", model=True),
        "horizon": TableColumn("sessions"),
        "target_date": TableColumn("from", html.number),
        "volatility": TableColumn("ann. volatility", html.percent),
        "lower": TableColumn(f"{level} from", html.percent),
        "upper": TableColumn("to", html.percent),
    }
    risk = data.newest_risk
    risk = risk[risk["tail"] == data.settings.risk_tails[0]]
    for limit, own in risk.groupby("level", sort=True):
        name = percent(float(str(limit)), ".4g" if float(str(limit)) < 0.01 else ".1%").replace(".0 ", " ")
        own = own[["model", "horizon", "value_at_risk", "expected_shortfall"]]
        suffix = {"value_at_risk": f"var_{limit}", "expected_shortfall": f"es_{limit}"}
        rows = rows.merge(own.rename(columns=suffix), how="left", on=["model", "horizon"])
        columns[f"var_{limit}"] = TableColumn(f"VaR {name}", html.percent)
        columns[f"es_{limit}"] = TableColumn(f"ES {name}", html.percent)
    note = html.paragraph(f"Made at the close of {rows['origin_date'].iloc[0]:%Y-%m-%d}.", "note")
    return Section("newest", title, note + html.table(rows, columns))


def _numbers(data: TickerData) -> list[str]:
    rows, headline = data.newest, data.headline
    if headline is None or rows.empty:
        return [html.answer("Volatility of the next session", "–", _nothing(data))]
    first = rows[(rows["model"] == headline["model"]) & (rows["horizon"] == rows["horizon"].min())].iloc[0]
    ahead = "" if first["horizon"] == 1 else f" and the {first['horizon'] - 1} sessions after it"
    band = ""
    if first["lower"] == first["lower"]:
        level = html.whole_percent(data.settings.interval_level)
        band = f"{level} band {percent(first['lower'])} to {percent(first['upper'])}. "
    day = first["volatility"] / math.sqrt(data.sessions_per_year)
    text = f"{band}A day moves by {percent(day, '.2%')} (one standard deviation)."
    known, until = calendar_for(data.ticker, data.settings.calendars).recorded
    assumed = "" if known <= first["target_date"] <= until else " (weekday assumed)"
    title = f"Volatility of {first['target_date']:%Y-%m-%d}{assumed}{ahead}"
    answers = [html.answer(title, percent(first["volatility"]), text)]
    risk = data.newest_risk
    tail = data.settings.risk_tails[0]
    risk = risk[(risk["model"] == headline["model"]) & (risk["horizon"] == first["horizon"]) & (risk["tail"] == tail)]
    if len(risk):
        least = risk.sort_values("level").iloc[0]
        text = f"Return of {first['target_date']:%Y-%m-%d}{ahead}, {tail} tail. "
        shortfall = least["expected_shortfall"]
        text += (
            f"Expected shortfall beyond it: {percent(shortfall, '.2%')}."
            if shortfall == shortfall
            else ("The expected shortfall does not exist: the tail is too heavy.")
        )
        name = f"Value at risk, {100 * least['level']:g} %"
        answers.append(html.answer(name, percent(least["value_at_risk"], ".2%"), text))
    else:
        answers.append(html.answer("Value at risk", "–", "Not computed yet: `volassets run` computes it."))
    return [*answers, html.answer("From", str(headline["model"]), headline_text(headline))]


def _bars(data: TickerData) -> str:
    if data.bars.empty:
        return html.answer("Newest bar", "–", f"No bars of {data.ticker} are stored: run it first.")
    newest = pd.Timestamp(data.bars["date"].iloc[-1])
    following = _sessions_after(data, newest)
    return html.answer("Newest bar", f"{newest:%Y-%m-%d}", f"The session after it is {following[0]}. ", _age(following))


def _forecasts(data: TickerData) -> str:
    if data.newest.empty:
        return html.answer("Newest forecast", "–", _nothing(data))
    made = pd.Timestamp(data.newest["origin_date"].max())
    following = _sessions_after(data, made)
    return html.answer("Newest forecast", f"{made:%Y-%m-%d}", "Made at the close of that day. ", _age(following))


def _sessions_after(data: TickerData, day: pd.Timestamp) -> list[str]:
    calendar, following = calendar_for(data.ticker, data.settings.calendars), [day]
    for _ in range(COUNTED_SESSIONS):
        following.append(calendar.next_session(following[-1]))
    return [f"{each:%Y-%m-%d}" for each in following[1:]]


def _age(following: list[str]) -> str:
    """Return the place where the page, when it is read, says how many of these sessions have closed."""
    return f'<span data-sessions="{" ".join(following)}" data-warn="{WARN_AFTER}" data-fail="{FAIL_AFTER}"></span>'


def _this_year(data: TickerData) -> str:
    rows = data.scores
    model = data.headline["model"] if data.headline is not None else None
    rows = rows[(rows["slice_kind"] == "year") & (rows["target"] == "proxy") & (rows["n"] >= FEWEST_OF_YEAR)]
    rows = rows[rows["horizon"] == rows["horizon"].min()]
    own = rows[rows["model"] == model].sort_values("slice")
    if own.empty:
        return html.answer("This year", "–", "Too few outcomes of its forecasts are known to judge a year.")
    last = own.iloc[-1]
    others = rows[rows["slice"] == last["slice"]].set_index("model")["qlike"]
    text = f"QLIKE of {model} over {last['n']:,} sessions"
    if "gjr" in others.index and model != "gjr":
        text += f", {html.signed_percent(last['qlike'] / others['gjr'] - 1)} against gjr"
    text += f"; rank {int((others < last['qlike']).sum()) + 1} of {len(others)} models."
    if last["coverage"] == last["coverage"]:
        level = html.whole_percent(data.settings.interval_level)
        text += f" {percent(last['coverage'])} of the outcomes lay in the {level} band."
    return html.answer(f"How good in {last['slice']}", f"{last['qlike']:.3f}", text)


def _data(data: TickerData) -> str:
    findings, audit = data.table("data_quality"), data.audit
    wrong = [f"{row.severity}: {row.message}" for row in findings.sort_values("severity").itertuples()]
    if len(audit) and not audit["passed"].all():
        wrong.insert(0, "error: the leakage audit fails")
    if not wrong:
        return html.answer("What is wrong with the data", "nothing", "No check found anything.")
    shown = "".join(f"<br>{escape(text)}" for text in wrong[:MOST_FINDINGS])
    more = f"<br>and {len(wrong) - MOST_FINDINGS} more" if len(wrong) > MOST_FINDINGS else ""
    link = f'<a href="#quality">The findings</a>{shown}{more}'
    number = f"{len(wrong)} finding{'s' if len(wrong) > 1 else ''}"
    return html.answer("What is wrong with the data", number, "", link)


def _nothing(data: TickerData) -> str:
    return not_compared(data) if data.leaderboard.empty else f"No forecast of {data.ticker} is stored."
