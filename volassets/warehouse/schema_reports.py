"""The tables that `comparison_reports`, the audit and `panel_report` write."""

from __future__ import annotations

from volassets.warehouse.declare import Column, Table
from volassets.warehouse.schema import DATA_HASH, HORIZON, MODEL, SEEN_N, TICKER, number

_TARGET = Column("target", "VARCHAR", "What is scored against: proxy (the unbiased range proxy) or squared_return.")
_MODEL_KEY = ("ticker", "model", "horizon")

_SCORES = (
    number("qlike", "Mean QLIKE on variances, y/f - ln(y/f) - 1; lower is better."),
    number("rmse", "Root mean squared error of the annualised volatility."),
    number("mae", "Mean absolute error of the annualised volatility."),
    number("r2", "R2 of the annualised volatility forecast, out of sample."),
    number("bias", "Mean of forecast minus realised annualised volatility."),
)

LEADERBOARD = Table(
    "leaderboard",
    "How every model did over the forecast days that all of them have.",
    (
        TICKER,
        MODEL,
        HORIZON,
        Column("n", "INTEGER", "Origins at which this model has a realised forecast."),
        Column("n_common", "INTEGER", "Origins common to all models: the sample of the scores.", True),
        _SCORES[0],
        number("qlike_vs_gjr", "QLIKE relative to gjr, minus 1; negative is better."),
        *_SCORES[1:],
        number("mz_intercept", "Mincer-Zarnowitz intercept."),
        number("mz_slope", "Mincer-Zarnowitz slope; 1 is unbiased."),
        number("dm_vs_gjr", "Diebold-Mariano statistic on QLIKE against gjr; negative is better."),
        number("dm_p", "Two-sided p-value of the Diebold-Mariano statistic."),
        number("mcs_p", "p-value in the model confidence set; the set at 90 % holds those of at least .10."),
        number("coverage_90", "Share of realised volatilities inside the forecast interval."),
        number("qlike_squared_return", "Mean of ln f + r^2/f, so that a lead is not an artefact of the proxy."),
        DATA_HASH,
    ),
    key=_MODEL_KEY,
)

SCORES = Table(
    "scores",
    "The leaderboard's scores by slice: everything, by year, by volatility regime; on both targets.",
    (
        TICKER,
        MODEL,
        HORIZON,
        Column("slice_kind", "VARCHAR", "all, year or regime."),
        Column("slice", "VARCHAR", "The year, or low, middle, high: terciles known at the origin."),
        _TARGET,
        SEEN_N,
        _SCORES[0],
        number("mse", "Mean squared error of the daily variance."),
        *_SCORES[1:4],
        number("bias", "Mean of forecast minus realised annualised volatility."),
    ),
    key=(*_MODEL_KEY, "slice_kind", "slice", "target"),
)

MINCER_ZARNOWITZ = Table(
    "mincer_zarnowitz",
    "Regression of the realised on the forecast variance.",
    (
        TICKER,
        MODEL,
        HORIZON,
        _TARGET,
        SEEN_N,
        number("intercept", "Intercept, annualised variance, decimal squared; 0 is unbiased."),
        number("slope", "Slope; 1 is unbiased."),
        number("p_value", "p-value of intercept 0 and slope 1 together, Wald with HAC covariances."),
    ),
    key=(*_MODEL_KEY, "target"),
)

MODEL_COMPARISONS = Table(
    "model_comparisons",
    "Diebold-Mariano test of every pair of models on their common days.",
    (
        TICKER,
        HORIZON,
        Column("loss", "VARCHAR", "Loss compared."),
        Column("model_a", "VARCHAR", "First model."),
        Column("model_b", "VARCHAR", "Second model."),
        number("dm", "Statistic; negative where model_a has the lower loss."),
        number("p_value", "Two-sided p-value."),
        SEEN_N,
    ),
    key=("ticker", "horizon", "loss", "model_a", "model_b"),
)

BACKTESTS = Table(
    "backtests",
    "Volatility-target strategies, weights known at the close before; no ranking without the interval.",
    (
        TICKER,
        Column("strategy", "VARCHAR", "Model that sets the weight, or buy_and_hold."),
        Column("smoothing", "VARCHAR", "Variant of the weights: daily, smoothed or banded."),
        number("sharpe_gross", "Annualised Sharpe ratio before costs."),
        number("sharpe_net", "Annualised Sharpe ratio after costs."),
        number("sharpe_low", "Lower end of the bootstrap interval of the net Sharpe ratio."),
        number("sharpe_high", "Upper end of the bootstrap interval of the net Sharpe ratio."),
        number("annual_return", "Annualised net return, decimal."),
        number("annual_volatility", "Annualised volatility of the net returns, decimal."),
        number("tracking_error", "Deviation from the volatility target, decimal."),
        number("max_drawdown", "Largest loss from a peak of the net equity, decimal."),
        number("turnover", "Mean absolute change of the weight per year."),
        number("utility", "Mean-variance utility per year, decimal."),
    ),
    key=("ticker", "strategy", "smoothing"),
)

BACKTEST_PATHS = Table(
    "backtest_paths",
    "Weight, return and equity of the strategies by day.",
    (
        TICKER,
        Column("strategy", "VARCHAR", "As in backtests."),
        Column("smoothing", "VARCHAR", "As in backtests."),
        Column("date", "DATE", "Session that the weight is held over."),
        number("weight", "Weight in the asset, from the close before."),
        number("strategy_return", "Net return of the session, decimal."),
        number("equity", "Net equity, starting at 1."),
    ),
    key=("ticker", "strategy", "smoothing", "date"),
)

VALUE_AT_RISK = Table(
    "value_at_risk",
    "One-day value at risk by filtered historical simulation, tested.",
    (
        TICKER,
        MODEL,
        Column("level", "DOUBLE", "Nominal share of violations: .05 or .01."),
        Column("n", "INTEGER", "Days tested."),
        Column("violations", "INTEGER", "Days whose loss exceeded the value at risk."),
        number("kupiec_p", "p-value of Kupiec's test of the share."),
        number("christoffersen_p", "p-value of Christoffersen's test of share and independence."),
    ),
    key=("ticker", "model", "level"),
)

VERDICTS = Table(
    "verdicts",
    "What the tests say in a sentence, computed from them.",
    (TICKER, HORIZON, Column("text", "VARCHAR", "The sentence.")),
    key=("ticker", "horizon", "text"),
)

AUDIT_RESULTS = Table(
    "audit_results",
    "Leakage audit: what was compared and whether the future changed the past.",
    (
        TICKER,
        Column("check_name", "VARCHAR", "What was replaced or compared."),
        Column("passed", "BOOLEAN", "Whether everything before stayed bit-identical."),
        Column("n_rows", "INTEGER", "Rows compared.", True),
        Column("n_columns", "INTEGER", "Columns compared.", True),
        Column("n_months", "INTEGER", "Refit months compared.", True),
        Column("message", "VARCHAR", "The first difference; empty where there is none."),
    ),
    key=("ticker", "check_name"),
)

PANEL_LEADERBOARD = Table(
    "panel_leaderboard",
    "The leaderboard over all tickers.",
    (
        MODEL,
        HORIZON,
        Column("n_tickers", "INTEGER", "Tickers that have the model at the horizon."),
        Column("n", "INTEGER", "Origins scored, over all tickers."),
        number("qlike", "Mean over tickers of the mean QLIKE."),
        number("qlike_vs_gjr", "Mean over tickers of the QLIKE relative to gjr, minus 1."),
        number("best_share", "Share of tickers at which the model has the lowest QLIKE."),
        number("beats_gjr", "Share of tickers at which it beats gjr with p < .05."),
        number("coverage_90", "Mean over tickers of the interval's coverage."),
    ),
    key=("model", "horizon"),
    cell=(),
)

PANEL_VERDICTS = Table(
    "panel_verdicts",
    "What the tests say over all tickers, in a sentence.",
    (HORIZON, Column("text", "VARCHAR", "The sentence.")),
    key=("horizon", "text"),
    cell=(),
)

REPORT_TABLES = (
    LEADERBOARD,
    SCORES,
    MINCER_ZARNOWITZ,
    MODEL_COMPARISONS,
    BACKTESTS,
    BACKTEST_PATHS,
    VALUE_AT_RISK,
    VERDICTS,
    AUDIT_RESULTS,
    PANEL_LEADERBOARD,
    PANEL_VERDICTS,
)
