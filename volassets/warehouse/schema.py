"""Every table, declared once: the DDL, the check of what is written, docs/sql.md and the UI follow from it.

Variances are daily and decimal, volatilities annualised and decimal (.20 = 20 %). A `refit_month`
is the first day of its month.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from volassets.models.registry import MODELS, families
from volassets.names import covariate_names
from volassets.warehouse.columns import (
    DATA_HASH,
    FITTED,
    HORIZON,
    MONTH,
    ORIGIN,
    SESSIONS_PER_YEAR,
    TARGET_DATE,
    TICKER,
    number,
)
from volassets.warehouse.declarations import Column, Table
from volassets.warehouse.schema_issued import ISSUED_TABLES
from volassets.warehouse.schema_portfolio import PORTFOLIO_TABLES
from volassets.warehouse.schema_reports import REPORT_TABLES
from volassets.warehouse.schema_risk import RISK_TABLES
from volassets.warehouse.schema_validation import VALIDATION_TABLES

if TYPE_CHECKING:
    from volassets.settings import Settings

SCHEMA_VERSION = 1

_CELL = ("ticker", "refit_month")
_MODEL_CELL = ("ticker", "refit_month", "model")


def tables(settings: Settings) -> dict[str, Table]:
    """Return every table by name, in the order in which they are filled; `lags` decides on columns of the features."""
    listed = [RAW_PRICES, PRICE_REVISIONS, DATA_QUALITY, SUSPECT_DAYS, _features(settings)]
    listed += [LAG_ANALYSIS, SELECTED_FEATURES]
    listed += [_fits(family) for family in families(stored_fits=True)]
    listed += [_forecasts(family) for family in families()]
    listed += [TRAINING_HISTORY, *VALIDATION_TABLES, FEATURE_IMPORTANCE, ATTENTION]
    listed += [*RISK_TABLES, *ISSUED_TABLES, *REPORT_TABLES, *PORTFOLIO_TABLES, SCHEMA_VERSION_TABLE]
    return {table.name: table for table in listed}


RAW_PRICES = Table(
    "raw_prices",
    "Daily bars as the source gives them, one row per ticker and session.",
    (
        TICKER,
        Column("date", "DATE", "Session."),
        Column("open", "DOUBLE", "Opening price."),
        Column("high", "DOUBLE", "Highest price."),
        Column("low", "DOUBLE", "Lowest price."),
        Column("close", "DOUBLE", "Closing price, adjusted for nothing."),
        Column("adj_close", "DOUBLE", "Close adjusted for splits and dividends; the close where there is none."),
        Column("volume", "DOUBLE", "Units traded; 0 where there is none."),
        number("realized_variance", "Daily variance that the source measured, decimal; NULL where it gives none."),
        Column("source", "VARCHAR", "Where the bar came from: bundled, csv or yfinance."),
        Column("fetched_at", "TIMESTAMP", "When the row was first written with these values, UTC."),
        Column("role", "VARCHAR", "covariate for a series that is an input of tickers only; else NULL.", True),
    ),
    key=("ticker", "date"),
    stamps=("fetched_at", "source"),
)

PRICE_REVISIONS = Table(
    "price_revisions",
    "Old bars that the source changed afterwards; rows are only ever added.",
    (
        TICKER,
        Column("date", "DATE", "Session of the bar."),
        Column("column", "VARCHAR", "Column of raw_prices that changed."),
        number("old", "Value before; NULL where the bar was not there."),
        number("new", "Value since; NULL where the bar is gone."),
        Column("seen_at", "TIMESTAMP", "When the change was seen, UTC."),
    ),
    key=("ticker", "date", "column", "seen_at"),
    append_only=True,
)

DATA_QUALITY = Table(
    "data_quality",
    "What the checks found in the bars of a ticker; no row where all is well.",
    (
        TICKER,
        Column("check_name", "VARCHAR", "Name of the check."),
        Column("severity", "VARCHAR", "error (the chain stops) or warning."),
        Column("message", "VARCHAR", "What was found."),
        Column("n_rows", "INTEGER", "Bars concerned."),
    ),
    key=("ticker", "check_name", "severity", "message"),
    may_be_empty=True,
)


SUSPECT_DAYS = Table(
    "suspect_days",
    "Sessions whose open, high or low is probably wrong; outcomes that hold one are left out of scores and losses.",
    (TICKER, Column("date", "DATE", "Session.")),
    key=("ticker", "date"),
    may_be_empty=True,
)


def _features(settings: Settings) -> Table:
    # Imported here: the catalogue belongs to the features, and reading prices does not need it.
    from volassets.features.catalogue import catalogue, outcomes
    from volassets.features.covariates import columns_of

    declared = (*catalogue(settings.lags), *outcomes(), *columns_of(covariate_names(settings.covariates)))
    columns = tuple(number(feature.name, feature.comment) for feature in declared)
    return Table(
        "realized_vol_features",
        "Feature table: a row uses bars up to and including the close of its date. NULL only in the warm-up.",
        (TICKER, Column("date", "DATE", "Session at whose close the row is known."), *columns, DATA_HASH),
        key=("ticker", "date"),
    )


LAG_ANALYSIS = Table(
    "lag_analysis",
    "Which lags of the log proxy matter, from the days before the refit month.",
    (
        TICKER,
        MONTH,
        Column("lag", "INTEGER", "Lag in sessions."),
        number("pacf", "Partial autocorrelation at the lag."),
        number("bound", "95 % bound: beyond it the lag is significant."),
        Column("stable_blocks", "INTEGER", "Of 4 blocks in time, in how many the adaptive lasso keeps the lag.", True),
        Column("selected", "BOOLEAN", "Whether the analysis keeps the lag."),
        Column("configured", "BOOLEAN", "Whether the lag is in the settings' list.", True),
        number("lasso", "Coefficient of the adaptive lasso chosen by BIC; 0 when dropped."),
        DATA_HASH,
    ),
    key=("ticker", "refit_month", "lag"),
    cell=_CELL,
)

SELECTED_FEATURES = Table(
    "selected_features",
    "Which features a refit month uses and how they are scaled, from training rows only.",
    (
        TICKER,
        MONTH,
        Column("feature", "VARCHAR", "Column of realized_vol_features."),
        Column("selected", "BOOLEAN", "Whether the models of the month may use it."),
        Column("reason", "VARCHAR", "kept, missing, constant or correlated."),
        Column("correlated_with", "VARCHAR", "The earlier feature that it was dropped for.", True),
        number("abs_correlation", "Absolute correlation with that feature."),
        number("center", "Scaler: what is subtracted."),
        number("scale", "Scaler: what it is divided by."),
        DATA_HASH,
    ),
    key=("ticker", "refit_month", "feature"),
    cell=_CELL,
)

FIT_COLUMNS = (
    *FITTED,
    Column("train_start", "DATE", "First bar used."),
    Column("train_end", "DATE", "Last bar used; before the refit month."),
    Column("n_train", "INTEGER", "Rows used for estimation."),
    Column("parameters", "JSON", "Estimates and statistics of the fit."),
    number("log_likelihood", "Log likelihood, where the model has one."),
    Column("converged", "BOOLEAN", "Whether the estimation converged."),
    Column("message", "VARCHAR", "Why not, or what was done about it; empty when nothing is to be said."),
    Column("seconds", "DOUBLE", "Time that the fit took."),
    Column("checkpoint", "VARCHAR", "File with the weights, relative to the home; empty where there is none.", True),
    Column("data_hash", "VARCHAR", "Hash of the bars, settings, code version and seed of the fit."),
    Column("code_version", "VARCHAR", "Version of the model's code."),
    Column("computed_on", "VARCHAR", "Device, precision and instruction set of a network's training.", True),
)

FORECAST_COLUMNS = (
    *FITTED,
    ORIGIN,
    TARGET_DATE,
    HORIZON,
    Column("variance", "DOUBLE", "Mean daily variance forecast over the horizon, decimal."),
    Column("volatility", "DOUBLE", "sqrt(sessions_per_year * variance): annualised, decimal."),
    number("lower", "Lower bound of the interval on the annualised volatility."),
    number("upper", "Upper bound of the interval on the annualised volatility."),
    SESSIONS_PER_YEAR,
    Column("data_hash", "VARCHAR", "Hash of the fit and of the bars up to the month's last origin."),
)


def _fits(family: str) -> Table:
    pooled = any(model.family == family and model.scope == "month" for model in MODELS.values())
    return Table(
        f"{family}_fits",
        f"One row per fit of the {family} family: estimated on bars before the refit month.",
        FIT_COLUMNS,
        key=_MODEL_CELL,
        # A fit over all tickers is replaced as one.
        cell=("refit_month", "model") if pooled else _MODEL_CELL,
    )


def _forecasts(family: str) -> Table:
    return Table(
        f"{family}_forecasts",
        f"Forecasts of the {family} family; a refit month owns the target dates that lie in it.",
        FORECAST_COLUMNS,
        key=(*_MODEL_CELL, "origin_date", "horizon"),
        cell=_MODEL_CELL,
    )


TRAINING_HISTORY = Table(
    "training_history",
    "Loss per epoch of every network that was trained.",
    (
        *FITTED,
        Column("seed", "INTEGER", "Number of the seed, from 0."),
        Column("epoch", "INTEGER", "Epoch, from 1."),
        number("train_loss", "Mean loss over the training rows."),
        number("validation_loss", "Mean loss over the validation rows; NULL where there are none."),
        number("learning_rate", "Learning rate of the epoch."),
        DATA_HASH,
    ),
    key=(*_MODEL_CELL, "seed", "epoch"),
    cell=_MODEL_CELL,
)

FEATURE_IMPORTANCE = Table(
    "feature_importance",
    "What permuting an input costs on the refit month's validation rows, never on its test days.",
    (
        *FITTED,
        Column("feature", "VARCHAR", "Input that was permuted."),
        number("delta_qlike", "Rise of the mean QLIKE."),
        number("std_error", "Standard error of the rise over the permutations."),
        DATA_HASH,
    ),
    key=(*_MODEL_CELL, "feature"),
    cell=_MODEL_CELL,
)

ATTENTION = Table(
    "attention",
    "Which of the last days a network looked at: mean attention weight per lag.",
    (
        *FITTED,
        Column("lag_days", "INTEGER", "Sessions before the origin; 0 is the origin itself."),
        Column("weight", "DOUBLE", "Mean attention weight; the weights of a cell sum to 1."),
        DATA_HASH,
    ),
    key=(*_MODEL_CELL, "lag_days"),
    cell=_MODEL_CELL,
)

SCHEMA_VERSION_TABLE = Table(
    "schema_version",
    "Which declaration the tables were last brought up to.",
    (
        Column("version", "INTEGER", "Version of the schema; a file with a higher one is refused."),
        Column("fingerprint", "VARCHAR", "Hash of the declaration; another one makes the next open migrate."),
    ),
    key=("version",),
    cell=(),
)
