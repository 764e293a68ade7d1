"""Tables and views of books: positions, correlations, risk and its record.

A book's numbers are shares of its value, simple returns: losses are negative.
"""

from __future__ import annotations

from volassets.warehouse.columns import DATA_HASH, HORIZON, MONTH, ORIGIN, TARGET_DATE, number
from volassets.warehouse.declarations import Column, Table, View

PORTFOLIO = Column("portfolio", "VARCHAR", "Name of the book, as in the settings' [portfolios].")
_MEMBER = Column("ticker", "VARCHAR", "Member of the book.")
_WEIGHT = Column("weight", "DOUBLE", "Share of the book's value, negative for a short position.")
_CELL = ("portfolio", "refit_month")
_LEVEL = Column("level", "DOUBLE", "Share of outcomes meant to lie beyond the value at risk: .01 is 1 %.")

POSITIONS = Table(
    "positions",
    "Weights of books that change, as imported: a row holds from the close of its date until the book's next date.",
    (PORTFOLIO, Column("date", "DATE", "Close from which on the weight is held."), _MEMBER, _WEIGHT),
    key=("portfolio", "date", "ticker"),
    cell=("portfolio",),
)

CORRELATION_FITS = Table(
    "correlation_fits",
    "Correlations of all tickers with forecasts, one fit per refit month, from residuals before it.",
    (
        MONTH,
        Column("a", "DOUBLE", "Weight of the last day's residuals, within bounds."),
        Column("b", "DOUBLE", "Weight of the day before's Q, within bounds."),
        number("likelihood", "Mean composite loss of neighbouring pairs at the maximum; NULL for one member."),
        Column("n", "INTEGER", "Members."),
        Column("members", "JSON", "Tickers, sorted."),
        Column("models", "JSON", "Model of each member whose forecasts its residuals are made from."),
        Column("days", "JSON", "Residuals of each member."),
        Column("filled", "JSON", "How many of them an exponentially weighted variance stands for, out of sample yet."),
        Column("scale", "JSON", "Root mean square of each member's residuals."),
        Column("q", "JSON", "Q at the cut-off: lower triangle by rows, the diagonal included."),
        Column("long_run", "JSON", "Rbar, the correlation of all earlier residuals: lower triangle by rows."),
        Column("lead_lag", "JSON", "What is added over several sessions for closes at different hours: as q, or null."),
        DATA_HASH,
    ),
    key=("refit_month",),
    cell=("refit_month",),
)

RISK_CONTRIBUTIONS = Table(
    "risk_contributions",
    "Who contributes to a book's risk: Euler's shares, which sum to 1 over the members.",
    (
        PORTFOLIO,
        MONTH,
        HORIZON,
        ORIGIN,
        _MEMBER,
        _WEIGHT,
        Column("volatility_share", "DOUBLE", "w_i (Hw)_i / w'Hw; negative for a position that hedges."),
        Column("var_share", "DOUBLE", "Share of value at risk and of expected shortfall, which scale with volatility."),
        DATA_HASH,
    ),
    key=(*_CELL, "horizon", "origin_date", "ticker"),
    cell=_CELL,
)

PORTFOLIO_VARIANCES = Table(
    "portfolio_variances",
    "The two variances behind a book's forecast, stored with the contributions.",
    (
        PORTFOLIO,
        MONTH,
        HORIZON,
        ORIGIN,
        TARGET_DATE,
        Column("variance", "DOUBLE", "sqrt(variance_assets * variance_own): mean daily variance over the horizon."),
        Column("variance_assets", "DOUBLE", "w'Hw from the members' forecasts and correlations."),
        Column("variance_own", "DOUBLE", "GJR-GARCH on the book's own returns at the weights of the origin."),
        Column("message", "VARCHAR", "What was done about a fit that is not believed; empty otherwise."),
    ),
    key=(*_CELL, "horizon", "origin_date"),
    cell=_CELL,
)

_FORECAST = (
    PORTFOLIO,
    MONTH,
    HORIZON,
    ORIGIN,
    TARGET_DATE,
    Column("variance", "DOUBLE", "Mean daily variance forecast over the horizon, decimal."),
    Column("volatility", "DOUBLE", "Annualised volatility, decimal."),
    number("lower", "Lower bound of the 90 % interval on the annualised realised volatility of the horizon."),
    number("upper", "Upper bound of it; NULL with fewer than 50 outcomes."),
    number("value_at_risk_01", "Return of the book over the horizon that is undercut with probability 1 %."),
    number("expected_shortfall_01", "Mean return beyond it."),
    number("value_at_risk_05", "The same at 5 %."),
    number("expected_shortfall_05", "Mean return beyond it."),
    Column("sigma_assets", "DOUBLE", "Daily volatility from the members alone, decimal."),
    Column("sigma_own", "DOUBLE", "Daily volatility from the book's own returns alone, decimal."),
    Column(
        "method",
        "VARCHAR",
        "As in risk_forecasts; with `, filled up` while residuals of an exponentially weighted variance fill up.",
    ),
)

PORTFOLIO_FORECASTS = Table(
    "portfolio_forecasts",
    "Volatility, value at risk and expected shortfall of a book, as shares of its value.",
    (*_FORECAST, DATA_HASH),
    key=(*_CELL, "horizon", "origin_date"),
    cell=_CELL,
)

PORTFOLIO_STEERING = Table(
    "portfolio_steering",
    "Where a month of portfolio_forecasts ends and the next one goes on.",
    (
        PORTFOLIO,
        MONTH,
        HORIZON,
        _LEVEL,
        Column("steered_level", "DOUBLE", "Level that the misses so far have moved to; the level itself at first."),
        Column("pending", "JSON", "Standardised loss at the value at risk by origin, where no outcome is known yet."),
    ),
    key=(*_CELL, "horizon", "level"),
    cell=_CELL,
)

PORTFOLIO_BACKTESTS = Table(
    "portfolio_backtests",
    "How a book's risk has held, against RiskMetrics and against its own series alone.",
    (
        PORTFOLIO,
        HORIZON,
        _LEVEL,
        Column("n", "INTEGER", "Origins with an outcome and out-of-sample residuals."),
        Column("violations", "INTEGER", "Outcomes beyond the value at risk."),
        number("violation_rate", "Share of violations."),
        number("kupiec_p", "p-value of Kupiec's test of the share of violations."),
        number("christoffersen_p", "p-value of Christoffersen's test of their independence."),
        number("conditional_coverage_p", "p-value of share and independence together."),
        number("es_test", "McNeil and Frey's statistic; negative where losses beyond are larger than the shortfall."),
        number("es_p", "Its one-sided bootstrap p-value."),
        number("quantile_score", "Mean quantile loss; lower is better."),
        number("fz_loss", "Mean FZ0 of value at risk and expected shortfall together."),
        number("qlike", "Mean of ln f + y/f, y the mean squared return of the horizon."),
        number("qlike_vs_riskmetrics", "The same less that of an exponentially weighted variance, .94."),
        number("dm_vs_riskmetrics", "Diebold-Mariano statistic of it; negative is better."),
        number("dm_riskmetrics_p", "Its two-sided p-value."),
        number("qlike_vs_own", "The same less that of the book's own series alone."),
        number("dm_vs_own", "Diebold-Mariano statistic of it; negative is better."),
        number("dm_own_p", "Its two-sided p-value."),
        number("bias", "Standard deviation of the return over its forecast volatility; 1 where the level is right."),
        number("mahalanobis_ratio", "Mean of R' (h S)^-1 R / n over the members' returns R; 1 where S is right."),
        number("diagonal_ratio", "Mean of R_i^2 / (h S_ii) over origins and members; 1 where variances are right."),
        number("coverage_90", "Share of realised volatilities within the interval."),
        DATA_HASH,
    ),
    key=("portfolio", "horizon", "level"),
    cell=("portfolio",),
)

PORTFOLIO_TABLES = (
    POSITIONS,
    CORRELATION_FITS,
    RISK_CONTRIBUTIONS,
    PORTFOLIO_VARIANCES,
    PORTFOLIO_FORECASTS,
    PORTFOLIO_STEERING,
    PORTFOLIO_BACKTESTS,
)

CORRELATIONS = View(
    "correlations",
    "Correlation of every pair of tickers at the cut-off of each refit month.",
    (
        Column("month", "DATE", "First day of the refit month: the cut-off that nothing of it looks past."),
        Column("ticker_a", "VARCHAR", "The first of the pair by name."),
        Column("ticker_b", "VARCHAR", "The second."),
        number("correlation", "Conditional correlation of one session's returns."),
    ),
    ("month", "ticker_a", "ticker_b"),
    ("correlation_fits",),
    """
    WITH fitted AS (
        SELECT refit_month, n, from_json(members, '["VARCHAR"]') AS names, from_json(q, '["DOUBLE"]') AS cells
        FROM correlation_fits),
    first_of AS (SELECT refit_month, names, cells, n, unnest(range(n)) AS j FROM fitted),
    pairs AS (SELECT refit_month, names, cells, j, unnest(range(j + 1, n)) AS i FROM first_of)
    SELECT refit_month AS month, names[j + 1] AS ticker_a, names[i + 1] AS ticker_b,
        cells[i * (i + 1) // 2 + j + 1]
            / sqrt(cells[i * (i + 1) // 2 + i + 1] * cells[j * (j + 1) // 2 + j + 1]) AS correlation
    FROM pairs""",
)

_NAMES = ", ".join(f"f.{column.name}" for column in _FORECAST)

LATEST_PORTFOLIO_RISK = View(
    "latest_portfolio_risk",
    "The newest forecast of every book.",
    _FORECAST,
    (),
    ("portfolio_forecasts",),
    f"""
    WITH newest AS (SELECT portfolio, max(origin_date) AS origin_date FROM portfolio_forecasts GROUP BY portfolio)
    SELECT {_NAMES}
    FROM portfolio_forecasts f JOIN newest n ON f.portfolio = n.portfolio AND f.origin_date = n.origin_date
    ORDER BY f.portfolio, f.horizon""",
)
