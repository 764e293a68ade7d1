"""Volatility-target strategies with costs, against buy and hold.

The weight of session t+1 is decided and paid for at the close of its origin t, from the one-session forecast known
there, and earns the return of t+1. Cash earns nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from volassets.evaluation.losses import (
    annualised_volatility,
    on_common_sample,
    scored_rows,
    sessions_per_year,
    with_losses,
)

HOLD = "buy_and_hold"
SMOOTHED_DAYS = 5
BAND = 0.15
TRACKING_WINDOW = 22
BLOCK = 22
REPLICATIONS = 1000
SEED = 19990104
INTERVAL = 0.90
FEWEST_SESSIONS = 60
DIFFERENCE_COLUMNS = ("sharpe_difference", "sharpe_difference_low", "sharpe_difference_high")
PATH_COLUMNS = ("strategy", "smoothing", "date", "weight", "trade", "gross_return", "net_return", "equity")


@dataclass(frozen=True)
class Rules:
    """Target volatility (annualised), cap on the weight, and cost per unit of turnover, all decimal."""

    target: float = 0.10
    max_leverage: float = 2.0
    cost: float = 6e-4


@dataclass(frozen=True)
class Backtest:
    """One ticker's `table`, a row per strategy and smoothing, and `paths`, their sessions (`PATH_COLUMNS`)."""

    table: pd.DataFrame
    paths: pd.DataFrame


def target_weights(volatility: pd.Series, rules: Rules) -> pd.Series:
    """Return min(cap, target / forecast volatility) by origin."""
    return (rules.target / volatility).clip(upper=rules.max_leverage)


def simulate(wanted: np.ndarray, returns: np.ndarray, cost: float, band: float = 0.0) -> pd.DataFrame:
    """Trade towards the wanted weights, session by session.

    Parameters
    ----------
    wanted : ndarray, shape (n,)
        Weight wanted at the close before each session; NaN: no trade.
    returns : ndarray, shape (n,)
        Simple total return of each session.
    cost : float
        Per unit of turnover, taken from the session's return.
    band : float
        No trade while the held weight is within this fraction of the wanted one. The held weight
        drifts with the return: w (1 + r) / (1 + w r).

    Returns
    -------
    DataFrame
        Columns `PATH_COLUMNS` from ``weight`` on; ``trade`` is the signed change of weight, ``equity`` 1 at the first
        close. The first purchase is paid for, the last position is not sold.
    """
    n = len(wanted)
    weight, trade = np.empty(n), np.zeros(n)
    held = 0.0
    for i, (aim, day_return) in enumerate(zip(wanted.tolist(), returns.tolist(), strict=True)):
        if aim == aim and (held == 0.0 or abs(held - aim) > band * abs(aim)):
            trade[i] = aim - held
            held = aim
        weight[i] = held
        growth = 1.0 + held * day_return
        held = held * (1.0 + day_return) / growth if growth > 0.0 else 0.0
    gross = np.maximum(weight * returns, -1.0)
    net = np.maximum(gross - cost * np.abs(trade), -1.0)
    return pd.DataFrame(dict(zip(PATH_COLUMNS[3:], (weight, trade, gross, net, np.cumprod(1.0 + net)), strict=True)))


def backtest(scored: pd.DataFrame, returns: pd.Series, rules: Rules) -> Backtest:
    """Run every model's strategies of one ticker.

    Complete models share the sessions from the first to the last day of the common sample; a day without a forecast
    keeps the position. Other models have their own sessions (columns ``start``, ``end``, ``n``).

    Parameters
    ----------
    scored : DataFrame
        Scored forecasts of one ticker (`volassets.evaluation.losses`); horizon 1 is used.
    returns : Series
        Daily log returns by date, all bars.
    rules : Rules

    Notes
    -----
    Values are annualised with the ticker's sessions a year, and net where the name does not say gross. Intervals are of
    90 %, from the stationary bootstrap with a mean block of `BLOCK` sessions, NaN below `FEWEST_SESSIONS` sessions;
    differences from buy and hold use the same sessions and resamples. ``tracking_error`` is the root mean square of the
    gross 22-session volatility less the target, ``turnover`` the weight traded per year, and ``utility`` the mean of
    8 % s - 4 % s^2 (Bollerslev, Hood, Huss and Pedersen 2018), s the position's realised volatility over the target.
    """
    losses, per_year = with_losses(scored[scored["horizon"] == 1]), sessions_per_year(scored)
    tables: list[pd.DataFrame] = []
    paths: list[pd.DataFrame] = []
    for names, sessions in _periods(losses, returns):
        rows = _run(losses[losses["model"].isin(names)], sessions, rules, per_year)
        hold = simulate(np.ones(len(sessions)), sessions["return"].to_numpy(), rules.cost)
        rows[HOLD, "none"] = hold
        table = _table(rows, sessions, rules, per_year)
        path = pd.concat([_labelled(frame, key, sessions) for key, frame in rows.items()], ignore_index=True)
        if tables:
            table, path = table[table["strategy"] != HOLD], path[path["strategy"] != HOLD]
        tables.append(table)
        paths.append(path)
    if not tables:
        return Backtest(pd.DataFrame(columns=["strategy", "smoothing"]), pd.DataFrame(columns=list(PATH_COLUMNS)))
    return Backtest(pd.concat(tables, ignore_index=True), pd.concat(paths, ignore_index=True))


def _periods(losses: pd.DataFrame, returns: pd.Series) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """Yield the models that share a period, complete ones first, and its sessions."""
    marked = scored_rows(on_common_sample(losses))
    complete = marked[marked["complete"]]
    groups = [complete] if len(complete) else []
    groups += [rows for _, rows in marked[~marked["complete"]].groupby("model", sort=False)]
    simple = np.expm1(returns)
    realized = losses.drop_duplicates("origin_date").set_index("origin_date")["realized_variance"]
    for rows in groups:
        index = pd.DatetimeIndex(returns.index)
        first, last = index.get_indexer(pd.DatetimeIndex([rows["origin_date"].min(), rows["origin_date"].max()]))
        origins = index[first : min(last + 1, len(index) - 1)]
        sessions = pd.DataFrame(
            {
                "origin": origins,
                "return": simple.to_numpy()[first + 1 : first + 1 + len(origins)],
                "realized_variance": realized.reindex(origins).to_numpy(),
            },
            index=index[first + 1 : first + 1 + len(origins)],
        )
        yield list(dict.fromkeys(rows["model"])), sessions


def _run(
    losses: pd.DataFrame, sessions: pd.DataFrame, rules: Rules, per_year: int
) -> dict[tuple[str, str], pd.DataFrame]:
    rows = {}
    returns = sessions["return"].to_numpy()
    for name, own in losses.groupby("model", sort=False):
        variance = own.set_index("origin_date")["variance"]
        volatility = pd.Series(annualised_volatility(variance.to_numpy(), per_year), index=variance.index)
        aim = target_weights(volatility, rules).reindex(sessions["origin"])
        smooth = aim.rolling(SMOOTHED_DAYS, min_periods=1).mean()
        rows[str(name), "daily"] = simulate(aim.to_numpy(), returns, rules.cost)
        rows[str(name), "smoothed_5"] = simulate(smooth.to_numpy(), returns, rules.cost)
        rows[str(name), "band_15"] = simulate(aim.to_numpy(), returns, rules.cost, BAND)
    return rows


def _labelled(frame: pd.DataFrame, key: tuple[str, str], sessions: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(strategy=key[0], smoothing=key[1], date=sessions.index)[list(PATH_COLUMNS)]


def _table(
    rows: dict[tuple[str, str], pd.DataFrame], sessions: pd.DataFrame, rules: Rules, per_year: int
) -> pd.DataFrame:
    weights, trades, gross, net = (np.column_stack([f[name] for f in rows.values()]) for name in PATH_COLUMNS[3:7])
    n = len(net)
    equity = np.vstack([np.ones(net.shape[1]), np.cumprod(1.0 + net, axis=0)])
    table = pd.DataFrame(list(rows), columns=["strategy", "smoothing"])
    table["sharpe_gross"], table["sharpe_net"] = _sharpe(gross, per_year), _sharpe(net, per_year)
    for name, values in _intervals(gross, net, list(rows).index((HOLD, "none")), per_year).items():
        table[name] = values
    with np.errstate(over="ignore"):
        table["annual_return"] = np.maximum(equity[-1], 0.0) ** (per_year / n) - 1.0
    table["annual_volatility"] = net.std(axis=0, ddof=1) * np.sqrt(per_year) if n > 1 else np.nan
    table["tracking_error"] = _tracking_error(gross, rules.target, per_year)
    table["max_drawdown"] = (1.0 - equity / np.maximum.accumulate(equity, axis=0)).max(axis=0)
    table["turnover"] = np.abs(trades).mean(axis=0) * per_year
    known = sessions["realized_variance"].notna().to_numpy()
    realized = annualised_volatility(sessions["realized_variance"].to_numpy()[known], per_year)
    scale = weights[known] * realized[:, None] / rules.target
    table["utility"] = (0.08 * scale - 0.04 * scale**2).mean(axis=0)
    return table.assign(start=sessions.index[0], end=sessions.index[-1], n=n)


def _sharpe(returns: np.ndarray, per_year: int) -> np.ndarray:
    if len(returns) < 2:
        return np.full(returns.shape[1], np.nan)
    spread = returns.std(axis=0, ddof=1)
    mean = returns.mean(axis=0) * np.sqrt(per_year)
    return np.divide(mean, spread, out=np.full_like(spread, np.nan), where=spread > 0)


def _tracking_error(gross: np.ndarray, target: float, per_year: int) -> np.ndarray:
    if len(gross) < TRACKING_WINDOW:
        return np.full(gross.shape[1], np.nan)
    total = np.vstack([np.zeros(gross.shape[1]), np.cumsum(gross**2, axis=0)])
    mean = np.maximum(total[TRACKING_WINDOW:] - total[:-TRACKING_WINDOW], 0.0) / TRACKING_WINDOW
    return np.sqrt(((annualised_volatility(mean, per_year) - target) ** 2).mean(axis=0))


def _intervals(gross: np.ndarray, net: np.ndarray, hold: int, per_year: int) -> dict[str, np.ndarray]:
    """Return the bootstrap's percentile intervals of the Sharpe ratios and of their differences from column `hold`."""
    names = ("sharpe_low", "sharpe_high", "sharpe_gross_low", "sharpe_gross_high", *DIFFERENCE_COLUMNS)
    n, k = net.shape
    if n < FEWEST_SESSIONS:
        return {name: np.full(k, np.nan) for name in names}
    counts = _resample_counts(n)
    tails = [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2]
    of_net, of_gross = (_resampled_sharpe(returns, counts, per_year) for returns in (net, gross))
    low_high = (*np.quantile(of_net, tails, axis=0), *np.quantile(of_gross, tails, axis=0))
    difference = of_net - of_net[:, [hold]]
    sharpe = _sharpe(net, per_year)
    result = (*low_high, sharpe - sharpe[hold], *np.quantile(difference, tails, axis=0))
    return dict(zip(names, result, strict=True))


def _resample_counts(n: int) -> np.ndarray:
    """Return how often each session is drawn, shape (REPLICATIONS, n): moments then are one product."""
    from arch.bootstrap import StationaryBootstrap

    draw = StationaryBootstrap(BLOCK, np.arange(n), seed=SEED)
    return np.stack([np.bincount(data[0][0], minlength=n) for data in draw.bootstrap(REPLICATIONS)]).astype(np.float64)


def _resampled_sharpe(returns: np.ndarray, counts: np.ndarray, per_year: int) -> np.ndarray:
    n = len(returns)
    mean = counts @ returns / n
    variance = np.maximum(counts @ returns**2 / n - mean**2, 0.0) * n / (n - 1)
    sharpe = np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 0)
    return sharpe * np.sqrt(per_year)
