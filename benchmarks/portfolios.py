"""Portfolios of the bundled tickers out of sample, against what others use: `python -m benchmarks portfolios`.

AAPL, IBM, MSFT, ^GSPC and ^IXIC, refit months 2004-01 .. 2013-02, log_har_leverage; equal weights, long-only books with
weights of a Dirichlet distribution and long-short books with normal weights of gross exposure 1, `default_rng(7)`.
`BENCH_BOOKS` is the number of each, 100 by default. Rows of skfolio need it installed; it is no dependency.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from time import process_time

import numpy as np
import pandas as pd

from volassets.evaluation.accuracy_tests import diebold_mariano
from volassets.evaluation.correlations import CorrelationFit, fit_correlations, horizon_correlations, month_states
from volassets.evaluation.portfolio_backtest import variance_loss
from volassets.evaluation.portfolio_panel import Panel, ewma_variances, panel_of, residuals_of, variances_of
from volassets.evaluation.portfolio_risk import early_residuals, month_correlations, outcomes_of
from volassets.evaluation.portfolio_variance import assets_variance, book_returns, book_variances
from volassets.evaluation.risk_forecasts import START, MonthForecasts, Rules, month_risk
from volassets.evaluation.risk_tests import fz_loss, kupiec, quantile_loss
from volassets.features.feature_table import build_features
from volassets.market.bundled import BundledSource
from volassets.market.calendar import calendar_for
from volassets.models.window import make_window
from volassets.settings import Settings
from volassets.timing import months_between, origins_of_month

TICKERS = ("AAPL", "IBM", "MSFT", "^GSPC", "^IXIC")
MONTHS = months_between(pd.Timestamp("2004-01-01"), pd.Timestamp("2013-02-01"))
LAST = "2013-03-01"
LEVEL = 0.01
SIZES = (6, 20, 100, 500)


def portfolios() -> pd.DataFrame:
    """Portfolio variance and 1 % value at risk against RiskMetrics, the book's own series alone, and skfolio."""
    panel, forecasts = _forecast()
    residuals = residuals_of(panel, *forecasts)
    books = _books(len(panel.members))
    fits = {month: month_correlations(panel, residuals, month)[0] for month in MONTHS}
    scored = {
        kind: [_scored(panel, residuals, forecasts[0], fits, w) for w in listed] for kind, listed in books.items()
    }
    others = _skfolio(panel, next(iter(scored["EW"]))["origins"])
    return pd.DataFrame([row for kind, listed in scored.items() for row in _rows(kind, books[kind], listed, others)])


def portfolio_cost() -> pd.DataFrame:
    """Processor seconds of a month's correlations and of its 21 days, by number of assets; 2520 simulated days."""
    rows = []
    # Loads what a fit imports.
    fit_correlations(np.random.default_rng(0).standard_normal((300, 3)), ("a", "b", "c"))
    for n in SIZES:
        rng = np.random.default_rng(n)
        residuals = rng.standard_normal((2520, n)) + rng.standard_normal((2520, 1))
        start = process_time()
        fit = fit_correlations(residuals, [f"{i:03}" for i in range(n)])
        fitted = process_time()
        states = month_states(fit, residuals[:20])
        weights, variances = np.full(n, 1 / n), np.full((21, n), 1e-4)
        assets_variance(weights, variances, horizon_correlations(fit, states, 1))
        rows.append({"assets": n, "fit_s": fitted - start, "days_s": process_time() - fitted})
    return pd.DataFrame(rows)


def _forecast() -> tuple[Panel, tuple[np.ndarray, np.ndarray]]:
    settings = Settings()
    model, frames, closes = settings.model("log_har_leverage"), [], {}
    for ticker in TICKERS:
        bars, calendar = BundledSource().fetch(ticker).loc[:LAST], calendar_for(ticker)
        closes[ticker] = bars["adj_close"]
        features = build_features(bars, calendar=calendar)
        for month in MONTHS:
            fit = model.fit(make_window(ticker, month, features, (1,)))
            origins = origins_of_month(pd.DatetimeIndex(features.index), month, calendar)
            variance = model.forecast(fit, features, origins)[1]
            frames.append(pd.DataFrame({"ticker": ticker, "origin_date": origins, "variance": variance.to_numpy()}))
    panel = panel_of(closes)
    return panel, variances_of(panel, pd.concat(frames, ignore_index=True))


def _books(n: int) -> dict[str, np.ndarray]:
    rng, size = np.random.default_rng(7), int(os.environ.get("BENCH_BOOKS", "100"))
    long_only = rng.dirichlet(np.ones(n), 100)[:size]
    normal = rng.standard_normal((100, n))
    long_short = (normal / np.abs(normal).sum(axis=1, keepdims=True))[:size]
    return {"EW": np.full((1, n), 1 / n), "LO": long_only, "LS": long_short}


def _scored(
    panel: Panel,
    residuals: np.ndarray,
    variances: np.ndarray,
    fits: Mapping[pd.Timestamp, CorrelationFit],
    weights: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return outcomes, variances and value at risk of one book by origin."""
    parts: list[np.ndarray] = []
    values: dict[str, list[np.ndarray]] = {"variance": [], "own": []}
    for month, fit in fits.items():
        end, after = panel.before(month), panel.before(month + pd.offsets.MonthBegin(1))
        origins = np.arange(end - 1, min(after, len(panel.dates)) - 1)
        held = np.tile(weights, (len(origins), 1))
        (found,) = book_variances(panel, fit, held, {1: variances}, residuals, origins, end)[0].values()
        parts.append(origins)
        values["variance"].append(found.variance)
        values["own"].append(found.own)
    origins = np.concatenate(parts)
    held = np.tile(weights, (len(panel.dates), 1))
    total, square = outcomes_of(panel, held, 1)
    returns = book_returns(panel.moves, weights)
    begun = int(np.argmax(np.isfinite(returns)))
    scored = {name: np.concatenate(listed) for name, listed in values.items()}
    scored["riskmetrics"] = ewma_variances(returns[begun:])[1:][origins - begun]
    early = early_residuals(returns, int(origins[0]), 1)
    sizes = np.cumsum([len(part) for part in parts])
    for name, method in (("variance", "evt_conformal"), ("riskmetrics", "historical"), ("own", "evt_conformal")):
        scored |= _limits(name, origins, scored[name], total, sizes, early, Rules((LEVEL,), method=method))  # type: ignore[arg-type]
    return {**scored, "origins": origins, "outcome": total[origins], "square": square[origins]}


def _limits(
    name: str,
    origins: np.ndarray,
    variance: np.ndarray,
    total: np.ndarray,
    sizes: np.ndarray,
    early: np.ndarray,
    rules: Rules,
) -> dict[str, np.ndarray]:
    before, limits, beyond, first = {}, [], [], 0
    for size in sizes.tolist():
        month = MonthForecasts(origins[:size], variance[:size], first, total, 1, in_sample=early)
        (risk,) = month_risk(month, rules, before)
        before, first = {(risk.tail, risk.level): risk.steering}, size
        limits.append(risk.value_at_risk)
        beyond.append(risk.expected_shortfall)
    return {f"{name}_var": np.concatenate(limits), f"{name}_es": np.concatenate(beyond)}


def _rows(kind: str, books: np.ndarray, scored: list[dict], others: Mapping[str, np.ndarray]) -> list[dict]:
    def stacked(name: str) -> np.ndarray:
        return np.array([one[name] for one in scored])

    square, outcome = stacked("square"), stacked("outcome")
    known = np.isfinite(square).all(axis=0)
    tested = known & (np.arange(square.shape[1]) >= START)
    forecasts = {name: stacked(column) for name, column in RIVALS.items()}
    for name, matrices in others.items():
        forecasts[name] = np.einsum("bi,tij,bj->bt", books, matrices, books)
    base, own = (variance_loss(forecasts[name], square) for name in ("RiskMetrics .94", "own series alone"))
    baseline = quantile_loss(outcome, stacked("riskmetrics_var"), LEVEL)
    rows = []
    for name, variance in forecasts.items():
        loss = variance_loss(variance, square)
        row = {"books": kind, "forecast": name}
        for label, rival in (("riskmetrics", base), ("own", own)):
            daily = (loss - rival)[:, known].mean(axis=0)
            row[f"vs_{label}"] = daily.mean()
            row[f"t_{label}"] = diebold_mariano(daily, 1).statistic if daily.any() else float("nan")
        row["bias"] = float(np.mean((outcome / np.sqrt(variance))[:, known].std(axis=1)))
        if column := RIVALS.get(name):
            limits, beyond = stacked(f"{column}_var"), stacked(f"{column}_es")
            hits = (outcome < limits)[:, tested]
            passed = [kupiec(int(own_hits.sum()), len(own_hits), LEVEL).p_value > 0.05 for own_hits in hits]
            daily = (quantile_loss(outcome, limits, LEVEL) - baseline)[:, tested].mean(axis=0)
            row |= {
                "violations": hits.mean() / LEVEL,
                "kupiec_pass": np.mean(passed),
                "loss": daily.mean() / baseline[:, tested].mean(),
                "t_loss": diebold_mariano(daily, 1).statistic if daily.any() else float("nan"),
                "fz": fz_loss(outcome, limits, beyond, LEVEL)[:, tested].mean(),
            }
        rows.append(row)
    return rows


RIVALS = {"portfolio_risk": "variance", "RiskMetrics .94": "riskmetrics", "own series alone": "own"}


def _skfolio(panel: Panel, origins: np.ndarray) -> dict[str, np.ndarray]:
    """Return the covariances that skfolio's estimators have at each origin, fed day by day; none without skfolio."""
    try:
        from skfolio.moments import EWCovariance, RegimeAdjustedEWCovariance
    except ImportError:
        return {}
    made: dict[str, Callable] = {
        "skfolio EWCovariance(half_life=40)": lambda: EWCovariance(half_life=40),
        "skfolio RegimeAdjustedEWCovariance": RegimeAdjustedEWCovariance,
    }
    first = int(np.argmax(np.isfinite(panel.moves).all(axis=1)))
    found = {}
    for name, make in made.items():
        estimator, matrices = make(), []
        estimator.partial_fit(panel.moves[first : origins[0] + 1])
        matrices.append(estimator.covariance_)
        for day in range(int(origins[0]) + 1, int(origins[-1]) + 1):
            estimator.partial_fit(panel.moves[day : day + 1])
            matrices.append(estimator.covariance_)
        found[name] = np.array(matrices)
    return found
