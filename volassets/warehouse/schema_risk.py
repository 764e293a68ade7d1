"""Tables and views of value at risk and expected shortfall.

Log returns, decimal: the lower tail's numbers are negative, the upper tail's positive.
"""

from __future__ import annotations

from volassets.warehouse.columns import DATA_HASH, HORIZON, MODEL, MONTH, ORIGIN, TARGET_DATE, TICKER, number
from volassets.warehouse.declarations import Column, Table, View

LEVEL = Column("level", "DOUBLE", "Share of outcomes meant to lie beyond the value at risk: .01 is 1 %.")
TAIL = Column("tail", "VARCHAR", "lower (falls, the risk of holding) or upper (rises, the risk of a short position).")
_LIMIT = number("value_at_risk", "Log return over the horizon that is exceeded with the level; NULL: see method.")
_BEYOND = number("expected_shortfall", "Mean log return beyond the value at risk; NULL where it does not exist.")
METHOD = Column(
    "method",
    "VARCHAR",
    "evt_conformal, historical or student_t; with `, in-sample` while residuals of the month's fit fill up.",
)
_RISK_KEY = ("model", "horizon", "level", "tail", "origin_date")

RISK_FORECASTS = Table(
    "risk_forecasts",
    "Value at risk and expected shortfall of every forecast, from the model's own earlier forecasts.",
    (TICKER, MONTH, MODEL, HORIZON, LEVEL, TAIL, ORIGIN, TARGET_DATE, _LIMIT, _BEYOND, METHOD, DATA_HASH),
    key=("ticker", "refit_month", *_RISK_KEY),
    cell=("ticker", "refit_month", "model"),
)

RISK_STEERING = Table(
    "risk_steering",
    "Where a month of risk_forecasts ends and the next one goes on.",
    (
        TICKER,
        MONTH,
        MODEL,
        HORIZON,
        LEVEL,
        TAIL,
        Column("steered_level", "DOUBLE", "Level that the misses so far have moved to; the level itself at first."),
        Column("pending", "JSON", "Standardised loss at the value at risk by origin, where no outcome is known yet."),
    ),
    key=("ticker", "refit_month", "model", "horizon", "level", "tail"),
    cell=("ticker", "refit_month", "model"),
)

_TESTED = (
    Column("n", "INTEGER", "Origins tested: those with an outcome and a value at risk from out-of-sample residuals."),
    Column("violations", "INTEGER", "Outcomes beyond the value at risk."),
)
_COVERAGE = (
    number("kupiec_p", "p-value of Kupiec's test of the share of violations."),
    number("christoffersen_p", "p-value of Christoffersen's test of their independence."),
)
_RATE = number("violation_rate", "Share of violations.")
_JOINT = number("conditional_coverage_p", "p-value of share and independence together.")

RISK_BACKTESTS = Table(
    "risk_backtests",
    "The record of value at risk and expected shortfall; tests are NULL with fewer than 250 origins.",
    (
        TICKER,
        MODEL,
        HORIZON,
        LEVEL,
        TAIL,
        *_TESTED,
        _RATE,
        *_COVERAGE,
        _JOINT,
        number("dynamic_quantile_p", "p-value of Engle and Manganelli's test that nothing known explains violations."),
        number("es_test", "McNeil and Frey's statistic; negative where losses beyond are larger than the shortfall."),
        number("es_p", "Its one-sided bootstrap p-value."),
        number("quantile_score", "Mean quantile loss; lower is better."),
        number("fz_loss", "Mean FZ0 of value at risk and expected shortfall together; lower is better."),
        number("dm_fz", "Diebold-Mariano statistic on FZ0 against gjr; negative is better."),
        number("dm_fz_p", "Its two-sided p-value."),
        Column("traffic_light", "VARCHAR", "green, yellow or red: Basel, 1 % and one session, last 250 origins.", True),
        DATA_HASH,
    ),
    key=("ticker", "model", "horizon", "level", "tail"),
)

VALUE_AT_RISK_0_1 = Table(
    "value_at_risk_0_1",
    "The table value_at_risk as 0.1.0 left it: one session, filtered historical simulation. Nothing writes it.",
    (TICKER, MODEL, LEVEL, *_TESTED, *_COVERAGE, _RATE, _JOINT),
    key=("ticker", "model", "level"),
    may_be_empty=True,
    was="value_at_risk",
)

RISK_TABLES = (RISK_FORECASTS, RISK_STEERING, RISK_BACKTESTS, VALUE_AT_RISK_0_1)

_LATEST = (TICKER, MONTH, MODEL, HORIZON, LEVEL, TAIL, ORIGIN, TARGET_DATE, _LIMIT, _BEYOND, METHOD)


_NAMES = ", ".join(f"r.{column.name}" for column in _LATEST)

LATEST_RISK = View(
    "latest_risk",
    "Value at risk and expected shortfall from the newest origin of every ticker, the headline model's first.",
    _LATEST,
    (),
    ("risk_forecasts", "headline_models"),
    f"""
    WITH newest AS (SELECT ticker, max(origin_date) AS origin_date FROM risk_forecasts GROUP BY ticker)
    SELECT {_NAMES}
    FROM risk_forecasts r JOIN newest n ON r.ticker = n.ticker AND r.origin_date = n.origin_date
        LEFT JOIN headline_models h ON h.ticker = r.ticker AND h.model = r.model
    ORDER BY r.ticker, h.model IS NULL, r.model, r.horizon, r.tail, r.level""",
)

VALUE_AT_RISK = View(
    "value_at_risk",
    "The record of the one-session value at risk of the lower tail: part of risk_backtests.",
    (TICKER, MODEL, LEVEL, *_TESTED, *_COVERAGE, _RATE, _JOINT),
    ("ticker", "model", "level"),
    ("risk_backtests",),
    """
    SELECT ticker, model, level, n, violations, kupiec_p, christoffersen_p, violation_rate, conditional_coverage_p
    FROM risk_backtests WHERE horizon = 1 AND tail = 'lower'""",
)
