"""The tables that `comparison_reports`, the audit and `panel_report` write."""

from __future__ import annotations

from volassets.warehouse.columns import (
    DATA_HASH,
    FORECAST,
    HORIZON,
    MODEL,
    SCORED_N,
    SESSIONS_PER_YEAR,
    TICKER,
    interval,
    number,
)
from volassets.warehouse.declarations import Column, Table

_TARGET = Column("target", "VARCHAR", "What is scored against: proxy (the unbiased range proxy) or squared_return.")
_MODEL_KEY = ("ticker", "model", "horizon")

_SCORES = (
    number("qlike", "Mean QLIKE on variances, y/f - ln(y/f) - 1; lower is better."),
    number("rmse", "Root mean squared error of the annualised volatility."),
    number("mae", "Mean absolute error of the annualised volatility."),
    number("r2", "R2 of the annualised volatility forecast, out of sample."),
    number("bias", "Mean forecast variance over mean realised variance, minus 1."),
)

LEADERBOARD = Table(
    "leaderboard",
    "How every model did over the forecast days that all of them have.",
    (
        *FORECAST,
        SCORED_N,
        _SCORES[0],
        number("qlike_vs_gjr", "QLIKE relative to gjr, minus 1; negative is better."),
        *_SCORES[1:],
        number("mz_intercept", "Mincer-Zarnowitz intercept."),
        number("mz_slope", "Mincer-Zarnowitz slope; 1 is unbiased."),
        number("dm_vs_gjr", "Diebold-Mariano statistic on QLIKE against gjr; negative is better."),
        number("dm_p", "Two-sided p-value of the Diebold-Mariano statistic; NULL below 20 windows without overlap."),
        number("mcs_p", "p-value in the model confidence set; the set at 90 % holds those of at least .10."),
        number("coverage_90", "Share of realised volatilities inside the forecast interval."),
        number("mz_p", "p-value of Mincer-Zarnowitz intercept 0 and slope 1 together."),
        number("mse", "Mean squared error of the daily variance."),
        number("qlike_on_squared_returns", "Mean of ln f + r^2/f, so that a lead is not an artefact of the proxy."),
        number(
            "dm_vs_gjr_on_squared_returns", "Diebold-Mariano statistic on that loss against gjr; negative is better."
        ),
        number("dm_p_on_squared_returns", "Two-sided p-value of it."),
        Column("n_available", "INTEGER", "Realised forecasts that the model has.", True),
        Column("n_common", "INTEGER", "Origins that all complete models have.", True),
        Column("complete", "BOOLEAN", "Whether the model is scored on the common origins.", True),
        SESSIONS_PER_YEAR,
        DATA_HASH,
    ),
    key=_MODEL_KEY,
    may_be_empty=True,
)

SCORES = Table(
    "scores",
    "The leaderboard's scores by slice: everything, by year, by volatility regime; on both targets.",
    (
        *FORECAST,
        Column("slice_kind", "VARCHAR", "all, year or regime."),
        Column("slice", "VARCHAR", "The year, or low, middle, high: terciles known at the origin."),
        _TARGET,
        SCORED_N,
        _SCORES[0],
        number("qlike_on_squared_returns", "Mean of ln f + r^2/f."),
        number("mse", "Mean squared error of the daily variance."),
        *_SCORES[1:],
        number("coverage", "Share of realised volatilities inside the forecast interval."),
        SESSIONS_PER_YEAR,
    ),
    key=(*_MODEL_KEY, "slice_kind", "slice", "target"),
    may_be_empty=True,
)

MINCER_ZARNOWITZ = Table(
    "mincer_zarnowitz",
    "Regression of the realised on the forecast variance.",
    (
        *FORECAST,
        _TARGET,
        SCORED_N,
        number("intercept", "Intercept, annualised variance, decimal squared; 0 is unbiased."),
        number("slope", "Slope; 1 is unbiased."),
        number("p_value", "p-value of intercept 0 and slope 1 together, Wald with HAC covariances."),
        SESSIONS_PER_YEAR,
    ),
    key=(*_MODEL_KEY, "target"),
    may_be_empty=True,
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
        SCORED_N,
    ),
    key=("ticker", "horizon", "loss", "model_a", "model_b"),
    may_be_empty=True,
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
        *interval("sharpe", "net Sharpe ratio"),
        number("annual_return", "Annualised net return, decimal."),
        number("annual_volatility", "Annualised volatility of the net returns, decimal."),
        number("tracking_error", "Deviation from the volatility target, decimal."),
        number("max_drawdown", "Largest loss from a peak of the net equity, decimal."),
        number("turnover", "Mean absolute change of the weight per year."),
        number("utility", "Mean-variance utility per year, decimal."),
        *interval("sharpe_gross", "gross Sharpe ratio"),
        number("sharpe_difference", "Net Sharpe ratio less that of buy and hold."),
        *interval("sharpe_difference", "difference"),
        Column("start", "DATE", "First session.", True),
        Column("end", "DATE", "Last session.", True),
        Column("n", "INTEGER", "Sessions.", True),
        SESSIONS_PER_YEAR,
    ),
    key=("ticker", "strategy", "smoothing"),
    may_be_empty=True,
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
        number("trade", "Change of the weight that was paid for."),
        number("gross_return", "Return of the session before costs, decimal."),
        number("net_return", "Return of the session after costs, decimal."),
        number("equity", "Net equity, starting at 1."),
    ),
    key=("ticker", "strategy", "smoothing", "date"),
    may_be_empty=True,
)

VERDICTS = Table(
    "verdicts",
    "What the tests say in a sentence, computed from them.",
    (
        TICKER,
        Column("topic", "VARCHAR", "Table that the sentence is about."),
        HORIZON,
        Column("text", "VARCHAR", "The sentence."),
    ),
    key=("ticker", "topic", "horizon"),
)

AUDIT_RESULTS = Table(
    "audit_results",
    "Leakage audit: the bars after a date were replaced; what was compared, and whether the past changed.",
    (
        Column("ticker", "VARCHAR", "Ticker, or portfolio, that was audited."),
        Column("cut_date", "DATE", "Last date whose bar was kept."),
        Column("replacement", "VARCHAR", "What became of the later bars: noise, constant or dropped."),
        Column("stage", "VARCHAR", "features, labels, lags, selection, fits, forecasts, pooled and portfolio ones."),
        Column("rule", "VARCHAR", "What must hold: nothing before changes, something after does."),
        Column("rows", "INTEGER", "Rows compared."),
        Column("columns", "INTEGER", "Value columns compared."),
        Column("months", "INTEGER", "Refit months compared."),
        Column("changed_rows", "INTEGER", "Rows that changed."),
        Column("passed", "BOOLEAN", "Whether the rule holds."),
        Column("detail", "VARCHAR", "The first difference; empty where there is none."),
    ),
    key=("ticker", "cut_date", "replacement", "stage", "rule"),
)

PANEL_LEADERBOARD = Table(
    "panel_leaderboard",
    "The leaderboard over all tickers: means over tickers of the scores on the tickers and days that models share.",
    (
        MODEL,
        HORIZON,
        Column("tickers", "INTEGER", "Tickers that the model is scored on."),
        Column("n", "INTEGER", "Origins scored, over all tickers."),
        _SCORES[0],
        number("qlike_vs_gjr", "Mean over tickers of the QLIKE relative to gjr, minus 1; negative is better."),
        *_SCORES[1:4],
        number("coverage_90", "Mean over tickers of the share inside the forecast interval."),
        Column("in_confidence_set", "INTEGER", "Tickers whose 90 % model confidence set holds the model.", True),
        Column("complete", "BOOLEAN", "Whether it is scored on the shared tickers and days; others do not rank.", True),
        DATA_HASH,
    ),
    key=("model", "horizon"),
    cell=(),
)

PANEL_COMPARISONS = Table(
    "panel_comparisons",
    "Every model against one other over all tickers, on QLIKE.",
    (
        MODEL,
        HORIZON,
        Column("against", "VARCHAR", "The model compared with."),
        Column("tickers", "INTEGER", "Tickers that have both."),
        Column("wins", "INTEGER", "Tickers with the lower mean QLIKE."),
        Column("significant_wins", "INTEGER", "Tickers where it is better with p < .05."),
        Column("significant_losses", "INTEGER", "Tickers where it is worse with p < .05."),
        number("mean_difference", "Mean over tickers of the relative QLIKE difference; negative is better."),
        number("dm_pooled", "Diebold-Mariano statistic of the differential averaged over tickers by day."),
        number("p_pooled", "Its two-sided p-value."),
        Column("n", "INTEGER", "Origins of the pooled test."),
    ),
    key=("model", "horizon", "against"),
    cell=(),
    may_be_empty=True,
)

PANEL_VERDICTS = Table(
    "panel_verdicts",
    "What the tests say over all tickers, in a sentence.",
    (Column("position", "INTEGER", "Order of the sentences."), Column("text", "VARCHAR", "The sentence.")),
    key=("position",),
    cell=(),
    may_be_empty=True,
)

# fmt: off
REPORT_TABLES = (
    LEADERBOARD, SCORES, MINCER_ZARNOWITZ, MODEL_COMPARISONS, BACKTESTS, BACKTEST_PATHS, VERDICTS,
    AUDIT_RESULTS, PANEL_LEADERBOARD, PANEL_COMPARISONS, PANEL_VERDICTS,
)
# fmt: on
