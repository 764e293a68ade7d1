"""What was forecast on the day, as it was said then: logs that nothing rewrites, and the views that compare them."""

from __future__ import annotations

from volassets.warehouse.columns import (
    HORIZON,
    MODEL,
    ORIGIN,
    SESSIONS_PER_YEAR,
    TARGET_DATE,
    TICKER,
    number,
)
from volassets.warehouse.declarations import Column, Table, View, qlike
from volassets.warehouse.schema_risk import LEVEL, METHOD, TAIL

_ISSUED = (
    Column("issued_at", "TIMESTAMP", "When it was written, UTC; before the close of the target date's session."),
    Column("code_version", "VARCHAR", "Version of volassets that computed it."),
    Column("bars_hash", "VARCHAR", "Hash of the bars up to the origin, as they were then."),
)
_FORECAST_KEY = ("ticker", "model", "horizon", "origin_date")
_RISK_KEY = ("ticker", "model", "horizon", "level", "tail", "origin_date")

ISSUED_FORECASTS = Table(
    "issued_forecasts",
    "Forecasts from the newest bars as the schedules first made them; revisions and refits leave them.",
    (
        TICKER,
        MODEL,
        HORIZON,
        ORIGIN,
        TARGET_DATE,
        Column("variance", "DOUBLE", "Mean daily variance forecast over the horizon, decimal."),
        Column("volatility", "DOUBLE", "sqrt(sessions_per_year * variance): annualised, decimal."),
        number("lower", "Lower bound of the interval on the annualised volatility."),
        number("upper", "Upper bound of the interval on the annualised volatility."),
        SESSIONS_PER_YEAR,
        *_ISSUED,
    ),
    key=_FORECAST_KEY,
    append_only=True,
)

ISSUED_RISK = Table(
    "issued_risk",
    "Value at risk and expected shortfall from the newest bars as the schedules first made them.",
    (
        TICKER,
        MODEL,
        HORIZON,
        LEVEL,
        TAIL,
        ORIGIN,
        TARGET_DATE,
        number("value_at_risk", "Log return over the horizon that is exceeded with the level."),
        number("expected_shortfall", "Mean log return beyond the value at risk."),
        METHOD,
        *_ISSUED,
    ),
    key=_RISK_KEY,
    append_only=True,
)

ISSUED_TABLES = (ISSUED_FORECASTS, ISSUED_RISK)


def live_views(horizons: tuple[int, ...]) -> tuple[View, View]:
    """Return the views that set what was issued against what is stored now, and against what came."""
    return _live_forecasts(), _live_risk(horizons)


def _live_forecasts() -> View:
    return View(
        "live_forecasts",
        "Issued forecasts beside those stored now for the same origin, and what was realised.",
        (
            TICKER,
            MODEL,
            HORIZON,
            ORIGIN,
            TARGET_DATE,
            Column("issued_at", "TIMESTAMP", "When it was issued, UTC."),
            Column("issued_variance", "DOUBLE", "Daily variance as issued, decimal."),
            number("stored_variance", "Daily variance as stored now; NULL where it is not stored any more."),
            number("difference", "stored / issued - 1."),
            number("realized_variance", "Score target of the origin; NULL before its sessions have passed."),
            number("issued_qlike", "QLIKE of the issued forecast; NULL where nothing positive is realised."),
            number("stored_qlike", "QLIKE of the stored forecast; NULL where nothing positive is realised."),
        ),
        _FORECAST_KEY,
        ("issued_forecasts", "forecasts", "realized"),
        f"""
    SELECT i.ticker, i.model, i.horizon, i.origin_date, i.target_date, i.issued_at, i.variance AS issued_variance,
        f.variance AS stored_variance, f.variance / i.variance - 1 AS difference,
        r.proxy_variance AS realized_variance, {qlike("r.proxy_variance", "i.variance")} AS issued_qlike,
        {qlike("r.proxy_variance", "f.variance")} AS stored_qlike
    FROM issued_forecasts i LEFT JOIN forecasts f USING (ticker, model, horizon, origin_date)
        LEFT JOIN realized r ON r.ticker = i.ticker AND r.origin_date = i.origin_date AND r.horizon = i.horizon""",
    )


def _live_risk(horizons: tuple[int, ...]) -> View:
    # The frames look ahead on purpose: what came afterwards, beside what was said before.
    outcomes = " UNION ALL ".join(
        f"""
        SELECT ticker, date AS origin_date, {h} AS horizon, sum("return") OVER ahead_{h} AS outcome
        FROM realized_vol_features
        WINDOW ahead_{h} AS (PARTITION BY ticker ORDER BY date ROWS BETWEEN 1 FOLLOWING AND {h} FOLLOWING)
        QUALIFY count("return") OVER ahead_{h} = {h}"""
        for h in horizons
    )
    return View(
        "live_risk",
        "Issued value at risk and expected shortfall beside those stored now, and the return that came.",
        (
            TICKER,
            MODEL,
            HORIZON,
            LEVEL,
            TAIL,
            ORIGIN,
            TARGET_DATE,
            Column("issued_at", "TIMESTAMP", "When it was issued, UTC."),
            number("issued_value_at_risk", "Value at risk as issued, log return."),
            number("stored_value_at_risk", "Value at risk as stored now; NULL where it is not stored any more."),
            number("difference", "stored / issued - 1."),
            number("issued_expected_shortfall", "Expected shortfall as issued, log return."),
            number("outcome", "Log return over the horizon; NULL before its sessions have passed."),
            Column("violation", "BOOLEAN", "Whether the outcome lies beyond the issued value at risk.", True),
        ),
        _RISK_KEY,
        ("issued_risk", "risk_forecasts", "realized_vol_features"),
        f"""
    SELECT i.ticker, i.model, i.horizon, i.level, i.tail, i.origin_date, i.target_date, i.issued_at,
        i.value_at_risk AS issued_value_at_risk, s.value_at_risk AS stored_value_at_risk,
        s.value_at_risk / nullif(i.value_at_risk, 0) - 1 AS difference,
        i.expected_shortfall AS issued_expected_shortfall, o.outcome,
        CASE WHEN i.tail = 'lower' THEN o.outcome < i.value_at_risk ELSE o.outcome > i.value_at_risk END AS violation
    FROM issued_risk i
        LEFT JOIN risk_forecasts s USING (ticker, model, horizon, level, tail, origin_date)
        LEFT JOIN ({outcomes}) o
            ON o.ticker = i.ticker AND o.origin_date = i.origin_date AND o.horizon = i.horizon""",
    )
