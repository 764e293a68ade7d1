"""Losses of variance forecasts and the scores made of them.

Everything here works on *scored forecasts*: one row per ticker, model, horizon and origin, with the columns

``ticker, model, horizon, origin_date``
    the key; the forecast was known at the close of `origin_date`,
``variance``, ``realized_variance``
    forecast mean daily variance of sessions t+1 .. t+h and the score target y of the same sessions, daily decimal;
    y is NaN while not realised,
``squared_return`` (optional)
    mean squared daily return of the same sessions,
``lower, upper`` (optional)
    interval bounds on the annualised volatility,
``sessions_per_year`` (optional)
    of the ticker's calendar, 252 by default: what volatilities are annualised with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from volassets.models.protocol import TRADING_DAYS

KEYS = ("ticker", "model", "horizon")
ENOUGH_OF_THE_DAYS = 0.95
REGIMES = ("low", "middle", "high")


def qlike(realized: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Return y/f - ln(y/f) - 1 of variances in one unit (Patton 2011): 0 for a perfect forecast, NaN where y is 0."""
    y, f = np.asarray(realized, np.float64), np.asarray(forecast, np.float64)
    ratio = y / np.where((y > 0) & (f > 0), f, np.nan)
    return ratio - np.log(ratio) - 1.0


def annualised_volatility(variance: np.ndarray, sessions_per_year: int = TRADING_DAYS) -> np.ndarray:
    """Return sqrt(sessions v) of daily variances."""
    return np.sqrt(sessions_per_year * np.asarray(variance, np.float64))


def sessions_per_year(scored: pd.DataFrame) -> int:
    """Return the sessions a year of one ticker's scored forecasts."""
    return int(scored["sessions_per_year"].iloc[0]) if "sessions_per_year" in scored and len(scored) else TRADING_DAYS


def with_losses(scored: pd.DataFrame) -> pd.DataFrame:
    """Return the realised rows of `scored` with the columns `qlike`, `squared_error` and `qlike_on_squared_returns`.

    The last is ln f + r^2/f in daily variances, NaN without `squared_return`: a zero return is a number, and the
    differences between models are those of QLIKE with r^2 as the outcome; the level is not.
    """
    rows = scored[scored["realized_variance"].notna() & scored["variance"].notna()].reset_index(drop=True)
    y, f = (rows[name].to_numpy(np.float64) for name in ("realized_variance", "variance"))
    r2 = rows["squared_return"].to_numpy(np.float64) if "squared_return" in rows else np.full(len(rows), np.nan)
    return rows.assign(qlike=qlike(y, f), squared_error=(y - f) ** 2, qlike_on_squared_returns=np.log(f) + r2 / f)


def on_common_sample(losses: pd.DataFrame) -> pd.DataFrame:
    """Mark what is scored: the columns `common` (day of the common sample) and `complete` (model is in it).

    Per ticker and horizon, the reference days are the origins that at least half of the models have. A model with
    `ENOUGH_OF_THE_DAYS` of them is complete, and the common sample is the days that every complete model has. So one
    model with a few days cannot delete days for the others: it is not complete and keeps its own days.
    """
    marked = losses.assign(common=False, complete=False)
    for _, rows in losses.groupby(["ticker", "horizon"], sort=False):
        there = rows.assign(there=True).pivot(index="origin_date", columns="model", values="there").notna()
        reference = there[there.mean(axis=1) >= 0.5]
        complete = reference.columns[reference.mean(axis=0) >= ENOUGH_OF_THE_DAYS]
        days = there.index[there[complete].all(axis=1)] if len(complete) else there.index[:0]
        marked.loc[rows.index, "complete"] = rows["model"].isin(complete)
        marked.loc[rows.index, "common"] = rows["origin_date"].isin(days)
    return marked


def scored_rows(marked: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that count: the common days of complete models, all days of the others."""
    return marked[marked["common"] | ~marked["complete"]]


def scores(rows: pd.DataFrame) -> dict[str, float]:
    """Return the scores of one model's rows.

    Means of the losses over the days that have one; ``rmse``, ``mae`` and ``r2`` on annualised volatility; ``bias``,
    mean forecast variance over mean realised variance less one; ``coverage``, the share of realised volatilities
    inside the bounds that are known.
    """
    y, f = rows["realized_variance"].to_numpy(np.float64), rows["variance"].to_numpy(np.float64)
    realized, forecast = (annualised_volatility(values, sessions_per_year(rows)) for values in (y, f))
    error = forecast - realized
    spread = float(((realized - realized.mean()) ** 2).sum()) if len(y) else 0.0
    return {
        "n": len(y),
        "qlike": _mean(rows["qlike"].to_numpy()),
        "qlike_on_squared_returns": _mean(rows["qlike_on_squared_returns"].to_numpy()),
        "mse": _mean(rows["squared_error"].to_numpy()),
        "rmse": float(np.sqrt(_mean(error**2))),
        "mae": _mean(np.abs(error)),
        "r2": 1.0 - float((error**2).sum()) / spread if spread > 0 else float("nan"),
        "bias": float(f.sum() / y.sum() - 1.0) if y.sum() > 0 else float("nan"),
        "coverage": _coverage(rows, realized),
    }


def score_table(marked: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Return `scores` per ticker, model, horizon and the columns `by`, on what `on_common_sample` marked."""
    keys = [*KEYS, *by]
    groups = scored_rows(marked).groupby(keys, sort=False, observed=True)
    rows = [dict(zip(keys, key, strict=True)) | scores(group) for key, group in groups]
    return pd.DataFrame(rows, columns=None if rows else keys)


def defined(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` with NaN for what is infinite: the store keeps an undefined number as NULL."""
    return frame.replace([np.inf, -np.inf], np.nan)


def relative_qlike(own: pd.DataFrame, baseline: pd.DataFrame) -> float:
    """Return mean QLIKE over the baseline's, less 1, on the origins (the index) that both have; NaN where undefined."""
    days = own.index.intersection(baseline.index)
    theirs = baseline.loc[days, "qlike"].mean()
    return float(own.loc[days, "qlike"].mean() / theirs - 1.0) if theirs else float("nan")


def volatility_regime(proxy: pd.Series, window: int = 22, minimum: int = 252) -> pd.Series:
    """Return low, middle or high per date, known at its close.

    The tercile of the mean of `proxy` over `window` days at t among those up to and including t, so that a later
    crisis does not turn an earlier one into a calm; NaN until `minimum` days are known.
    """
    level = proxy.rolling(window).mean()
    past = level.expanding(minimum)
    low, high = past.quantile(1 / 3), past.quantile(2 / 3)
    known = low.notna() & level.notna()
    label = np.where(level <= low, REGIMES[0], np.where(level <= high, REGIMES[1], REGIMES[2]))
    return pd.Series(label, index=proxy.index, dtype=object).where(known, np.nan)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if len(known) else float("nan")


def _coverage(rows: pd.DataFrame, realized: np.ndarray) -> float:
    if not {"lower", "upper"} <= set(rows.columns):
        return float("nan")
    lower, upper = rows["lower"].to_numpy(np.float64), rows["upper"].to_numpy(np.float64)
    known = ~(np.isnan(lower) | np.isnan(upper))
    return _mean(((lower <= realized) & (realized <= upper))[known].astype(np.float64))
