"""What forecasts were worth, and the risk that they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.evaluation import portfolio_risk as book
from volassets.evaluation.leaderboard import leaderboard
from volassets.evaluation.losses import defined, on_common_sample, score_table, with_losses
from volassets.evaluation.risk_forecasts import MonthForecasts, MonthRisk, Rules, month_risk
from volassets.evaluation.tail_risk import horizon_returns
from volassets.features.feature_table import build_features
from volassets.market.calendar import calendar_for
from volassets.market.suspect_ranges import suspect_days
from volassets.notebook.given_bars import Bars, GivenSettings, by_ticker, checked, make_settings
from volassets.pipeline.comparison_steps import without_suspects
from volassets.settings import Settings
from volassets.warehouse.declarations import quoted
from volassets.warehouse.views import views

FIRST_SCORES = ("model", "horizon", "n", "qlike", "rmse", "mae", "r2")
RISK_COLUMNS = (
    "model",
    "horizon",
    "level",
    "tail",
    "origin_date",
    "target_date",
    "value_at_risk",
    "expected_shortfall",
    "method",
    "ticker",
)
NEEDED = ("model", "horizon", "origin_date", "target_date", "variance")


def score(
    forecasts: pd.DataFrame, bars: Bars, *, calendar: str | None = None, settings: GivenSettings = None
) -> pd.DataFrame:
    """Score forecasts whose sessions have passed.

    Parameters
    ----------
    forecasts : DataFrame
        Of `walk_forward`, or own ones: columns model, horizon, origin_date, target_date and variance (mean daily
        variance of the horizon's sessions, decimal); ticker where `bars` is a dict; lower and upper for the coverage.
    bars, calendar, settings
        As they were given to `walk_forward`.

    Returns
    -------
    DataFrame
        One row per ticker, model and horizon: model, horizon, n, qlike, rmse, mae, r2 (the last three on annualised
        volatility), then the other scores of the table ``scores`` and ticker. Models that have nearly all days are
        scored on the days that they share.

    Raises
    ------
    InputError
        If a column is missing, or no session of a forecast has passed.
    """
    scored = _scored(forecasts, bars, calendar, settings)
    table = defined(score_table(on_common_sample(with_losses(scored))))
    return table[[*FIRST_SCORES, *(name for name in table if name not in FIRST_SCORES)]]


def compare(
    forecasts: pd.DataFrame,
    bars: Bars,
    *,
    baseline: str = "gjr",
    calendar: str | None = None,
    settings: GivenSettings = None,
) -> pd.DataFrame:
    """Compare models by the tests of the table ``leaderboard``.

    Parameters
    ----------
    forecasts, bars, calendar, settings
        As of `score`.
    baseline : str
        Model that ``qlike_vs_gjr`` and the Diebold-Mariano columns compare with; they are NaN without it.

    Returns
    -------
    DataFrame
        Columns of ``leaderboard``: scores, Diebold-Mariano and Mincer-Zarnowitz tests, p-value in the model confidence
        set, by ticker, horizon and QLIKE. Equal to the stored rows for the same forecasts and bars.

    Raises
    ------
    InputError
        As `score`.
    """
    scored = _scored(forecasts, bars, calendar, settings)
    return defined(leaderboard(scored, baseline)).reset_index(drop=True)


def risk(
    forecasts: pd.DataFrame,
    bars: Bars,
    *,
    levels: Sequence[float] | None = None,
    tails: Sequence[str] | None = None,
    method: str | None = None,
    calendar: str | None = None,
    settings: GivenSettings = None,
) -> pd.DataFrame:
    """Return value at risk and expected shortfall of forecasts (docs/risk.md).

    Parameters
    ----------
    forecasts, bars, calendar, settings
        As of `score`.
    levels : sequence of float, optional
        Shares such as .01; by default the settings'.
    tails : sequence of {"lower", "upper"}, optional
        Lower for holdings, upper for short positions.
    method : {"evt_conformal", "historical", "student_t"}, optional

    Returns
    -------
    DataFrame
        `RISK_COLUMNS`, one row per forecast, level and tail; log returns over the horizon, decimal, negative for
        losses; from the residuals of the model's own earlier forecasts, known at the origin. Bit for bit the table
        ``risk_forecasts`` from the month on that has 250 known outcomes. Before it the table completes them by the
        in-sample residuals of a stored fit, which a frame of forecasts does not have: fewer are used here, and below
        100 the numbers are NaN. So it is with the degrees of freedom of a GARCH fit under ``student_t``.

    Raises
    ------
    InputError
        If a column is missing, a level is impossible, or an origin is no bar.
    """
    frames, forecasts = _of_tickers(forecasts, bars)
    given = {"risk_levels": levels, "risk_tails": tails, "risk_method": method}
    made = _settings(frames, calendar, settings, **given)
    rules = Rules(made.risk_levels, made.risk_tails, made.risk_method)
    found = []
    for ticker, own in checked(frames, made, say=False).items():
        features = _features(ticker, own, made)
        index, returns = pd.DatetimeIndex(features.index), features["return"].to_numpy(np.float64)
        rows = forecasts[forecasts["ticker"] == ticker]
        for key, part in rows.groupby(["model", "horizon"], sort=False):
            model, horizon = str(key[0]), int(str(key[1]))
            part = part.sort_values("origin_date", ignore_index=True)
            places = _places(index, part, ticker)
            for first, risk in _months(part, places, horizon_returns(returns, horizon), horizon, rules):
                origins = part.iloc[first : first + len(risk.value_at_risk)]
                found.append(_risk_rows(origins, risk).assign(model=model, horizon=horizon, ticker=ticker))
    return pd.concat(found, ignore_index=True)[list(RISK_COLUMNS)]


def portfolio_risk(
    forecasts: pd.DataFrame,
    bars: Mapping[str, pd.DataFrame],
    weights: Mapping[str, float],
    *,
    model: str = "",
    method: str = "evt_conformal",
    calendar: str | None = None,
    settings: GivenSettings = None,
) -> pd.DataFrame:
    """Forecast the volatility, value at risk and expected shortfall of a book of several tickers.

    Parameters
    ----------
    forecasts : DataFrame
        Of `walk_forward` on the same dict of bars.
    bars, calendar, settings
        As of `score`, by ticker.
    weights : mapping of str to float
        Share of the book's value per ticker, negative for a short position; they need not sum to 1.
    model : str
        Whose forecasts are used; may be left out where there is one model.
    method : {"evt_conformal", "historical", "student_t"}

    Returns
    -------
    DataFrame
        As of `volassets.evaluation.portfolio_risk.portfolio_risk`: shares of the book's value, negative for losses.

    Raises
    ------
    InputError
        If a member has no bars or forecasts, or several models are there and none is named.
    """
    frames, forecasts = _of_tickers(forecasts, bars)
    names = list(dict.fromkeys(forecasts["model"]))
    if model not in names and (model or len(names) > 1):
        raise InputError(f"model = {model!r} is none of the forecasts' ({', '.join(names)}): name one of them.")
    own = forecasts[forecasts["model"] == model] if model else forecasts
    members = checked(frames, _settings(frames, calendar, settings), say=False)
    return book.portfolio_risk(own, members, weights, method=method)


def with_outcomes(
    forecasts: pd.DataFrame, bars: Bars, calendar: str | None = None, settings: GivenSettings = None
) -> pd.DataFrame:
    """Return forecasts with the columns realized_variance, squared_return and sessions_per_year.

    Outcomes are those of the view ``realized``, NaN where a session has not passed or its range is suspect.
    """
    frames, forecasts = _of_tickers(forecasts, bars)
    horizons = sorted({int(horizon) for horizon in forecasts["horizon"]})
    made = _settings(frames, calendar, settings)
    parts = []
    for ticker, own in checked(frames, made, say=False).items():
        realized = _realized(own, _features(ticker, own, made), made, horizons)
        rows = forecasts[forecasts["ticker"] == ticker].drop(columns="sessions_per_year", errors="ignore")
        rows = rows.merge(realized, on=["origin_date", "horizon"], how="left")
        rows["sessions_per_year"] = calendar_for(ticker, made.calendars).sessions_per_year
        parts.append(without_suspects(rows, own))
    return pd.concat(parts, ignore_index=True)


def _scored(forecasts: pd.DataFrame, bars: Bars, calendar: str | None, settings: GivenSettings) -> pd.DataFrame:
    rows = with_outcomes(forecasts, bars, calendar, settings)
    if not rows["squared_return"].notna().any():
        raise InputError("no session of a forecast has passed: give bars that go on after the first target date.")
    rows = rows[rows["squared_return"].notna()]
    return rows.sort_values(["ticker", "model", "horizon", "origin_date"], kind="stable", ignore_index=True)


def _of_tickers(forecasts: pd.DataFrame, bars: Bars) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Return the frames of the tickers that have forecasts, and the forecasts with their ticker."""
    lacking = [name for name in NEEDED if name not in forecasts]
    if lacking:
        raise InputError(f"the forecasts lack the column {', '.join(lacking)}: they need {', '.join(NEEDED)}.")
    if isinstance(bars, pd.DataFrame):
        names = list(dict.fromkeys(forecasts["ticker"])) if "ticker" in forecasts else [""]
        if len(names) > 1:
            raise InputError(f"the forecasts are of {', '.join(names)}: give a dict of their bars.")
        frames = by_ticker(bars, names[0] if names else "")
        return frames, forecasts.assign(ticker=next(iter(frames)))
    if "ticker" not in forecasts:
        raise InputError("the forecasts lack the column ticker, and bars is a dict: say whose they are.")
    missing = [name for name in dict.fromkeys(forecasts["ticker"]) if name not in bars]
    if missing:
        raise InputError(f"there are forecasts of {missing[0]!r} and no bars: add them to bars.")
    there = set(forecasts["ticker"])
    return {name: frame for name, frame in bars.items() if name in there}, forecasts


def _settings(
    frames: Mapping[str, pd.DataFrame], calendar: str | None, settings: GivenSettings, **overrides: Any
) -> Settings:
    # No run is made: nothing is written to the home.
    return make_settings(list(frames), settings, Path("."), calendar=calendar, **overrides)


def _features(ticker: str, bars: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    return build_features(bars, calendar_for(ticker, settings.calendars), lags=settings.lags, proxy=settings.proxy)


def _realized(bars: pd.DataFrame, features: pd.DataFrame, settings: Settings, horizons: Sequence[int]) -> pd.DataFrame:
    """Return what the view ``realized`` gives for bars and their features, by its own SQL and so to the bit."""
    import duckdb

    view = views(settings.model_copy(update={"horizons": tuple(horizons)}))["realized"]
    columns = ["proxy_variance", "return", "ratio"]
    rows = features[columns].reset_index().assign(ticker="")
    with duckdb.connect(":memory:") as connection:
        connection.register("given", rows)
        # As the table keeps them: a missing number is NULL, which the averages leave out.
        numbers = (f"nullif({quoted(name)}, 'NaN'::DOUBLE) AS {quoted(name)}" for name in columns)
        connection.execute(
            f"CREATE TABLE realized_vol_features AS SELECT ticker, date, {', '.join(numbers)} FROM given"
        )
        connection.register("suspect_days", suspect_days(bars).assign(ticker=""))
        found = connection.execute(view.sql).df()
    found["origin_date"] = pd.to_datetime(found["origin_date"]).astype("datetime64[ns]")
    return found[["origin_date", "horizon", "proxy_variance", "squared_return"]].rename(
        columns={"proxy_variance": "realized_variance"}
    )


def _places(index: pd.DatetimeIndex, part: pd.DataFrame, ticker: str) -> np.ndarray:
    places = index.get_indexer(pd.DatetimeIndex(part["origin_date"]))
    if (places < 0).any():
        day = part["origin_date"][places < 0].iloc[0]
        raise InputError(f"origin {day:%Y-%m-%d} is no bar of {ticker}: give the bars that were forecast from.")
    return places


def _months(
    part: pd.DataFrame, places: np.ndarray, outcome: np.ndarray, horizon: int, rules: Rules
) -> list[tuple[int, MonthRisk]]:
    """Return the position of each month's first origin with its risks, each month going on from the one before."""
    targets = pd.DatetimeIndex(part["refit_month"] if "refit_month" in part else part["target_date"])
    months = targets.to_period("M").to_timestamp().to_numpy()
    starts = np.flatnonzero(np.append(True, months[1:] != months[:-1])).tolist()
    variance, found = part["variance"].to_numpy(np.float64), []
    steering: dict[Any, Any] = {}
    for start, stop in zip(starts, [*starts[1:], len(part)], strict=True):
        risks = month_risk(MonthForecasts(places[:stop], variance[:stop], start, outcome, horizon), rules, steering)
        steering = {(risk.tail, risk.level): risk.steering for risk in risks}
        found += [(start, risk) for risk in risks]
    return found


def _risk_rows(origins: pd.DataFrame, risk: MonthRisk) -> pd.DataFrame:
    return origins[["origin_date", "target_date"]].assign(
        level=risk.level,
        tail=risk.tail,
        value_at_risk=risk.value_at_risk,
        expected_shortfall=risk.expected_shortfall,
        method=risk.method,
    )
