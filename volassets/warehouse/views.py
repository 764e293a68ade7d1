"""The views that join what the assets store: fits, forecasts, what was realised, losses, what is newest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from volassets.models.registry import families
from volassets.warehouse.columns import FORECAST, HORIZON, MODEL, ORIGIN, TARGET_DATE, TICKER, number
from volassets.warehouse.declarations import Column, View, qlike, quoted
from volassets.warehouse.schema import FIT_COLUMNS, FORECAST_COLUMNS
from volassets.warehouse.schema_issued import live_views
from volassets.warehouse.schema_portfolio import CORRELATIONS, LATEST_PORTFOLIO_RISK
from volassets.warehouse.schema_risk import LATEST_RISK, VALUE_AT_RISK

if TYPE_CHECKING:
    from volassets.settings import Settings

DEFAULT_MODEL = "combination"
_FAMILY = Column("family", "VARCHAR", "Family of the model: the table that the row is stored in.")
_REALIZED_VARIANCE = "Mean over the horizon's sessions of the proxy, times the ratio: daily variance, decimal."
_BOUNDS = tuple(column for column in FORECAST_COLUMNS if column.name in ("volatility", "lower", "upper"))


def views(settings: Settings) -> dict[str, View]:
    """Return every view by name, each after the views that it needs; `horizons` are those that `realized` has."""
    fit = ("ticker", "refit_month", "model")
    forecast = (*fit, "origin_date", "horizon")
    listed = (
        _union("fits", "Every stored fit.", families(stored_fits=True), FIT_COLUMNS, fit),
        _on_stored_sessions(
            _union("forecasts", "Every forecast of every model.", families(), FORECAST_COLUMNS, forecast)
        ),
        _realized(settings.horizons),
        FORECAST_LOSSES,
        HEADLINE_MODELS,
        LATEST_FORECASTS,
        LATEST_RISK,
        VALUE_AT_RISK,
        *live_views(settings.horizons),
        CORRELATIONS,
        LATEST_PORTFOLIO_RISK,
    )
    return {view.name: view for view in listed}


def _union(what: str, comment: str, of: tuple[str, ...], columns: tuple[Column, ...], key: tuple[str, ...]) -> View:
    # Files of 0.1.0 lack the column: every volatility was annualised with the sessions of an exchange.
    given = {"sessions_per_year": 'coalesce("sessions_per_year", 252) AS "sessions_per_year"'}
    names = ", ".join(given.get(column.name, quoted(column.name)) for column in columns)
    parts = [f"SELECT {names}, '{family}' AS family FROM {family}_{what}" for family in of]
    needs = tuple(f"{family}_{what}" for family in of)
    return View(what, comment, (*columns, _FAMILY), key, needs, " UNION ALL ".join(parts))


def _on_stored_sessions(forecasts: View) -> View:
    """Let the next stored bar be an origin's target date, where the calendar gave another day before it came."""
    names = ", ".join(quoted(name) for name in forecasts.column_names)
    corrected = names.replace('"target_date"', 'coalesce(following, target_date) AS "target_date"')
    sql = f"""
        SELECT {corrected} FROM ({forecasts.sql}) LEFT JOIN (
            SELECT ticker, date AS origin_date, lead(date) OVER (PARTITION BY ticker ORDER BY date) AS following
            FROM raw_prices
        ) USING (ticker, origin_date)"""
    return replace(forecasts, needs=(*forecasts.needs, "raw_prices"), sql=sql)


def _realized(horizons: tuple[int, ...]) -> View:
    # The frame looks ahead on purpose: this is what came afterwards, to be joined on the origin and never fed to a fit.
    parts = []
    for h in horizons:
        # Named per horizon: DuckDB refuses a window name that another part of the union has used.
        row, ahead = f"row_{h}", f"ahead_{h}"
        parts.append(f"""
        SELECT ticker, date AS origin_date, lead(date) OVER {row} AS target_date, {h} AS horizon,
            CASE WHEN bool_or(suspect) OVER {ahead} IS NULL
                THEN lead(ratio) OVER {row} * avg(proxy_variance) OVER {ahead} END AS proxy_variance,
            avg("return" * "return") OVER {ahead} AS squared_return, lead(ratio) OVER {row} AS ratio,
            bool_or(suspect) OVER {ahead} IS NOT NULL AS suspect
        FROM realized_vol_features LEFT JOIN (SELECT ticker, date, true AS suspect FROM suspect_days)
            USING (ticker, date)
        WINDOW {row} AS (PARTITION BY ticker ORDER BY date),
            {ahead} AS (PARTITION BY ticker ORDER BY date ROWS BETWEEN 1 FOLLOWING AND {h} FOLLOWING)
        QUALIFY count(proxy_variance) OVER {ahead} = {h}""")
    return View(
        "realized",
        "The score target of each origin and horizon whose sessions have all passed; join on ticker, origin_date, "
        "horizon.",
        (
            TICKER,
            ORIGIN,
            Column("target_date", "DATE", "First session after the origin."),
            HORIZON,
            number("proxy_variance", _REALIZED_VARIANCE),
            number("squared_return", "Mean squared daily return of the same sessions, decimal."),
            number("ratio", "c_m of the target date's month: sum return^2 / sum proxy over the days before it."),
            Column("suspect", "BOOLEAN", "Whether a session is in suspect_days: proxy_variance is NULL then."),
        ),
        ("ticker", "origin_date", "horizon"),
        ("realized_vol_features", "suspect_days"),
        " UNION ALL ".join(parts),
    )


FORECAST_LOSSES = View(
    "forecast_losses",
    "Losses of every forecast whose sessions have all passed; without those that hold a suspect day.",
    (
        *FORECAST,
        ORIGIN,
        TARGET_DATE,
        Column("variance", "DOUBLE", "Forecast daily variance, decimal."),
        number("realized_variance", _REALIZED_VARIANCE),
        number("qlike", "y/f - ln(y/f) - 1; 0 is perfect; NULL where y is 0."),
        number("squared_error", "(f - y)^2 on daily variances."),
    ),
    ("ticker", "model", "horizon", "origin_date"),
    ("forecasts", "realized"),
    f"""
    SELECT f.ticker, f.model, f.horizon, f.origin_date, f.target_date, f.variance,
        r.proxy_variance AS realized_variance,
        {qlike("r.proxy_variance", "f.variance")} AS qlike,
        (f.variance - r.proxy_variance) * (f.variance - r.proxy_variance) AS squared_error
    FROM forecasts f JOIN realized r USING (ticker, origin_date, horizon)
    WHERE NOT r.suspect""",
)


def _origins() -> str:
    """Return the SQL of which origins every model has, without the join that corrects target dates."""
    parts = (f"SELECT ticker, model, origin_date FROM {name}_forecasts WHERE horizon = 1" for name in families())
    return " UNION ALL ".join(parts)


# The models of a ticker's newest origin t by their mean QLIKE at one session over outcomes known at the close of t, on
# the days that all of them have; one with less than half of the days that another has counts after those.
HEADLINE_MODELS = View(
    "headline_models",
    "The model that a ticker is shown with: of those with a forecast at its newest origin, the one with the lowest "
    "mean QLIKE at one session over the outcomes known there, on the days that they share.",
    (
        TICKER,
        MODEL,
        ORIGIN,
        number("qlike", "Its mean QLIKE over those outcomes; NULL where there is none yet."),
        Column("n", "INTEGER", "Outcomes that the choice was made on."),
    ),
    ("ticker",),
    (*(f"{family}_forecasts" for family in families()), "forecast_losses"),
    f"""
    WITH origins AS ({_origins()}),
        newest AS (SELECT ticker, max(origin_date) AS origin_date FROM origins GROUP BY ticker),
        there AS (SELECT ticker, model, origin_date FROM origins SEMI JOIN newest USING (ticker, origin_date)),
        known AS (
            SELECT l.ticker, l.model, l.origin_date, l.qlike
            FROM forecast_losses l JOIN there t ON l.ticker = t.ticker AND l.model = t.model
            WHERE l.horizon = 1 AND l.target_date <= t.origin_date AND l.qlike IS NOT NULL),
        counted AS (SELECT ticker, model, count(*) AS n FROM known GROUP BY ticker, model),
        ranked AS (SELECT ticker, model FROM counted QUALIFY 2 * n >= max(n) OVER (PARTITION BY ticker)),
        sizes AS (SELECT ticker, count(*) AS models FROM ranked GROUP BY ticker),
        days AS (
            SELECT ticker, origin_date
            FROM known SEMI JOIN ranked USING (ticker, model) JOIN sizes USING (ticker)
            GROUP BY ticker, origin_date HAVING count(*) = any_value(models)),
        shared AS (
            SELECT ticker, model, avg(qlike) AS qlike, count(*) AS n
            FROM known SEMI JOIN ranked USING (ticker, model) SEMI JOIN days USING (ticker, origin_date)
            GROUP BY ticker, model)
    SELECT t.ticker, t.model, t.origin_date, s.qlike, coalesce(s.n, 0)::INTEGER AS n
    FROM there t LEFT JOIN shared s ON s.ticker = t.ticker AND s.model = t.model
    QUALIFY row_number() OVER (
        PARTITION BY t.ticker ORDER BY s.qlike NULLS LAST, t.model <> '{DEFAULT_MODEL}', t.model) = 1""",
)

# `calendar_ends` of `volassets.market.bar_warnings` says so; a test holds the two together.
_RECORDED = r"recorded from (\d{4}-\d\d-\d\d) to (\d{4}-\d\d-\d\d)"

LATEST_FORECASTS = View(
    "latest_forecasts",
    "The newest origin's forecasts of every ticker, those of the headline model first.",
    (
        TICKER,
        MODEL,
        HORIZON,
        ORIGIN,
        TARGET_DATE,
        *_BOUNDS,
        Column("headline", "BOOLEAN", "Whether the model is the ticker's in headline_models."),
        Column(
            "old", "BOOLEAN", "Whether its first session is past: a bar or an origin after it is stored, of any ticker."
        ),
        Column(
            "target_date_assumed",
            "BOOLEAN",
            "Whether target_date lies outside the days whose holidays the ticker's calendar records, and no bar of "
            "it is stored: a weekday, assumed to be a session.",
        ),
    ),
    (),
    ("forecasts", "headline_models", "raw_prices", "data_quality"),
    f"""
    WITH newest AS (SELECT ticker, max(origin_date) AS origin_date FROM forecasts GROUP BY ticker),
        recorded AS (
            SELECT ticker, max(regexp_extract(message, '{_RECORDED}', 1)) AS first_day,
                max(regexp_extract(message, '{_RECORDED}', 2)) AS last_day
            FROM data_quality WHERE check_name = 'calendar_ends' GROUP BY ticker),
        days AS (
            SELECT max(date) AS date FROM raw_prices WHERE role IS NULL UNION ALL SELECT max(origin_date) FROM newest)
    SELECT f.ticker, f.model, f.horizon, f.origin_date, f.target_date, f.volatility, f.lower, f.upper,
        h.model IS NOT NULL AS headline, f.target_date < (SELECT max(date) FROM days) AS old,
        p.date IS NULL AND coalesce(
            strftime(f.target_date, '%Y-%m-%d') NOT BETWEEN c.first_day AND c.last_day, false) AS target_date_assumed
    FROM forecasts f JOIN newest n ON f.ticker = n.ticker AND f.origin_date = n.origin_date
        LEFT JOIN headline_models h ON h.ticker = f.ticker AND h.model = f.model
        LEFT JOIN recorded c ON c.ticker = f.ticker
        LEFT JOIN raw_prices p ON p.ticker = f.ticker AND p.date = f.target_date
    ORDER BY f.ticker, h.model IS NULL, f.model, f.horizon""",
)
