"""A book's volatility, value at risk and expected shortfall, month by month, from forecasts of its members.

In memory and for any forecasts; the steps of the pipeline compute the same with the functions used here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.evaluation.correlations import CorrelationFit, fit_correlations
from volassets.evaluation.intervals import adaptive_intervals
from volassets.evaluation.losses import annualised_volatility
from volassets.evaluation.portfolio_panel import (
    ENOUGH,
    Panel,
    ewma_variances,
    filled_residuals,
    panel_of,
    residuals_of,
    variances_of,
)
from volassets.evaluation.portfolio_variance import book_returns, book_variances
from volassets.evaluation.risk_forecasts import IN_SAMPLE, MonthForecasts, MonthRisk, Rules, Side, Steering, month_risk
from volassets.models.protocol import TRADING_DAYS

LEVELS = (0.01, 0.05)
# Outcomes that the interval starts from.
CALIBRATION = 750
FILLED_UP = ", filled up"
ONE_MONTH = pd.offsets.MonthBegin(1)
COLUMNS = (
    "horizon",
    "origin_date",
    "target_date",
    "variance",
    "volatility",
    "lower",
    "upper",
    "value_at_risk_01",
    "expected_shortfall_01",
    "value_at_risk_05",
    "expected_shortfall_05",
    "sigma_assets",
    "sigma_own",
)


def month_origins(panel: Panel, targets: np.ndarray, month: pd.Timestamp) -> np.ndarray:
    """Return the sessions whose next one, in `targets`, lies in `month`."""
    first, last = np.datetime64(month, "ns"), np.datetime64(month + ONE_MONTH, "ns")
    return np.flatnonzero((targets >= first) & (targets < last))


def targets_of(panel: Panel, forecasts: pd.DataFrame) -> np.ndarray:
    """Return the session after each one; after the last, the first that a member's newest forecast is about."""
    following = np.full(len(panel.dates), np.datetime64("NaT", "ns"))
    following[:-1] = panel.dates[1:]
    if len(panel.dates):
        origins = pd.DatetimeIndex(forecasts["origin_date"]).as_unit("ns").to_numpy()
        ahead = pd.DatetimeIndex(forecasts["target_date"]).as_unit("ns").to_numpy()[origins == panel.dates[-1]]
        if len(ahead):
            following[-1] = ahead.min()
    return following


def outcomes_of(panel: Panel, weights: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the book's return and mean squared return over the next `horizon` sessions, by origin.

    Parameters
    ----------
    panel : Panel
    weights : ndarray, shape (sessions, n)
        Known at each origin, held over the horizon.
    horizon : int

    Returns
    -------
    total, mean_square : ndarray, shape (sessions,)
        NaN where not all sessions have passed.
    """
    n = len(panel.dates)
    total, squares = np.zeros(n), np.zeros(n)
    # A member without a weight adds nothing, also before it has begun.
    moves = np.where(np.isnan(panel.moves) & (weights == 0).all(axis=0), 0.0, panel.moves)
    for ahead in range(1, horizon + 1):
        step = np.full(n, np.nan)
        if n > ahead:
            step[:-ahead] = (moves[ahead:] * weights[:-ahead]).sum(axis=1)
        total, squares = total + step, squares + step**2
    return total, squares / horizon


def early_residuals(returns: np.ndarray, first: int, horizon: int) -> np.ndarray:
    """Return up to 250 residuals of the book before its first forecast, by an exponentially weighted variance."""
    known = returns[:first]
    known = known[np.isfinite(known)]
    if len(known) <= horizon:
        return np.empty(0)
    variance = ewma_variances(known)[1:]
    sums = np.convolve(known, np.ones(horizon), "valid")[1:]
    residuals = sums / np.sqrt(horizon * variance[: len(sums)])
    return residuals[np.isfinite(residuals)][ENOUGH // 5 :][-ENOUGH:]


def month_rows(
    panel: Panel,
    weights: np.ndarray,
    origins: np.ndarray,
    variance: np.ndarray,
    first: int,
    horizon: int,
    rules: Rules,
    before: Mapping[tuple[Side, float], Steering],
) -> tuple[list[MonthRisk], pd.DataFrame]:
    """Return a month's value at risk and expected shortfall, and the interval on its variance.

    Parameters
    ----------
    panel : Panel
    weights : ndarray, shape (sessions, n)
    origins : ndarray of int
        Sessions forecast at so far, the month's last.
    variance : ndarray
        Mean daily variance forecast at them.
    first : int
        Position of the month's first origin.
    horizon : int
    rules : Rules
    before : mapping of (tail, level) to Steering

    Returns
    -------
    risks : list of MonthRisk
    interval : DataFrame
        Columns lower and upper by origin of the month: daily variances around the realised mean squared return.
    """
    outcome, mean_square = outcomes_of(panel, weights, horizon)
    early = early_residuals(book_returns(panel.moves, weights[origins[first]]), int(origins[0]), horizon)
    forecasts = MonthForecasts(origins, variance, first, outcome, horizon, in_sample=early)
    # Outcomes of the month itself become known day by day; none is used before.
    recent = slice(max(first - CALIBRATION, 0), None)
    rows = pd.RangeIndex(len(panel.dates))
    series = pd.Series(variance[recent], index=origins[recent])
    interval = adaptive_intervals(series, pd.Series(mean_square, index=rows), horizon)
    return month_risk(forecasts, rules, before), interval.iloc[len(series) - (len(origins) - first) :]


def month_frame(
    panel: Panel,
    targets: np.ndarray,
    origins: np.ndarray,
    horizon: int,
    risks: Sequence[MonthRisk],
    interval: pd.DataFrame,
    variances: Mapping[str, np.ndarray],
    sessions: int = TRADING_DAYS,
) -> pd.DataFrame:
    """Return the columns `COLUMNS` of one month and horizon, and `method`, from what was computed of them."""
    by_level = {risk.level: risk for risk in risks}
    one, five = (by_level[level] for level in LEVELS)
    return pd.DataFrame(
        {
            "horizon": horizon,
            "origin_date": panel.dates[origins],
            "target_date": targets[origins],
            "variance": variances["variance"],
            "volatility": annualised_volatility(variances["variance"], sessions),
            "lower": annualised_volatility(interval["lower"].to_numpy(), sessions),
            "upper": annualised_volatility(interval["upper"].to_numpy(), sessions),
            "value_at_risk_01": one.value_at_risk,
            "expected_shortfall_01": one.expected_shortfall,
            "value_at_risk_05": five.value_at_risk,
            "expected_shortfall_05": five.expected_shortfall,
            "sigma_assets": np.sqrt(variances["variance_assets"]),
            "sigma_own": np.sqrt(variances["variance_own"]),
            "method": one.method.replace(IN_SAMPLE, FILLED_UP),
        }
    )


def month_correlations(
    panel: Panel, residuals: np.ndarray, month: pd.Timestamp, different_closes: np.ndarray | None = None
) -> tuple[CorrelationFit, np.ndarray]:
    """Return the correlations of a month from the residuals before its cut-off, and how many were filled up."""
    known, filled = filled_residuals(panel, residuals, panel.before(month))
    return fit_correlations(known, panel.members, different_closes), filled


def portfolio_risk(
    forecasts: pd.DataFrame,
    bars: Mapping[str, pd.DataFrame],
    weights: Mapping[str, float],
    *,
    method: str = "evt_conformal",
) -> pd.DataFrame:
    """Forecast the risk of a book from forecasts of its members.

    Parameters
    ----------
    forecasts : DataFrame
        Columns ticker, horizon, origin_date, target_date, variance: of one model per ticker, out of sample.
    bars : mapping of str to DataFrame
        By ticker: index date, column adj_close, or close.
    weights : mapping of str to float
        Share of the book's value per ticker, negative for a short position; they need not sum to 1.
    method : {"evt_conformal", "historical", "student_t"}
        Of value at risk and expected shortfall.

    Returns
    -------
    DataFrame
        Columns `COLUMNS` and `method`: daily variance, annualised volatility, value at risk and expected shortfall as
        shares of the book over the horizon, negative for losses. Months in which a member lacks forecasts are left
        out.

    Raises
    ------
    InputError
        If no weight is given, a member has no bars or no forecasts, or none is of one session.
    """
    members = checked_members(weights)
    for name in members:
        for what, there in (("bars", name in bars), ("forecasts", name in set(forecasts["ticker"]))):
            if not there:
                raise InputError(f"there are no {what} of {name!r}, which has a weight of {weights[name]}: add them.")
    if not (forecasts["horizon"] == 1).any():
        raise InputError(
            "there are no forecasts of horizon 1: correlations come from one-session residuals, so forecast "
            "horizons with 1 among them, such as (1, 5, 22)."
        )
    closes = {name: bars[name]["adj_close" if "adj_close" in bars[name] else "close"] for name in members}
    forecasts = forecasts[forecasts["ticker"].isin(members)]
    panel, horizons = panel_of(closes), [int(h) for h in sorted(forecasts["horizon"].unique())]
    by_horizon = {h: variances_of(panel, forecasts[forecasts["horizon"] == h]) for h in horizons}
    residuals = residuals_of(panel, *by_horizon[1])
    targets = targets_of(panel, forecasts)
    held = np.tile([float(weights[name]) for name in panel.members], (len(panel.dates), 1))
    rules = Rules(LEVELS, method=method)  # type: ignore[arg-type]
    done = np.empty(0, np.int64)
    so_far: dict[int, np.ndarray] = {h: np.empty(0) for h in horizons}
    steering: dict[int, dict[tuple[Side, float], Steering]] = {h: {} for h in horizons}
    frames = []
    for month in pd.DatetimeIndex(pd.Series(targets).dropna()).to_period("M").unique().to_timestamp():
        origins, end = month_origins(panel, targets, month), panel.before(month)
        if not all(np.isfinite(by_horizon[h][0][origins]).all() for h in horizons) or origins[0] != end - 1:
            continue
        fit, _ = month_correlations(panel, residuals, month)
        variances = {h: by_horizon[h][0] for h in horizons}
        found, _ = book_variances(panel, fit, held[origins], variances, residuals, origins, end)
        done = np.concatenate([done, origins])
        for h in horizons:
            so_far[h] = np.concatenate([so_far[h], found[h].variance])
            first = len(done) - len(origins)
            risks, interval = month_rows(panel, held, done, so_far[h], first, h, rules, steering[h])
            steering[h] = {(risk.tail, risk.level): risk.steering for risk in risks}
            listed = {"variance": found[h].variance, "variance_assets": found[h].assets, "variance_own": found[h].own}
            frames.append(month_frame(panel, targets, origins, h, risks, interval, listed))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*COLUMNS, "method"])


def checked_members(weights: Mapping[str, float]) -> list[str]:
    """Return the members with a weight, sorted; InputError where there is none or a weight is not finite."""
    for name, weight in weights.items():
        if not np.isfinite(weight):
            raise InputError(f"the weight of {name!r} is {weight!r}: give a finite share of the book's value.")
    members = sorted(name for name, weight in weights.items() if weight != 0)
    if not members:
        raise InputError("the book holds nothing: give at least one ticker a weight that is not 0.")
    return members
