"""The tables of a network's own validation: what its fit writes about the rows that its training stopped on."""

from __future__ import annotations

from volassets.warehouse.columns import FITTED, HORIZON, ORIGIN, SESSIONS_PER_YEAR, number
from volassets.warehouse.declarations import Column, Table

_MODEL_CELL = ("ticker", "refit_month", "model")

VALIDATION_SCORES = Table(
    "validation_scores",
    "How a refit of lstm_reference does on its own validation rows, the last before the month. Not out of sample: its "
    "training stops where their loss is lowest.",
    (
        *FITTED,
        HORIZON,
        Column("n", "INTEGER", "Validation rows whose label is realised before the refit month."),
        number("rmse", "Root mean squared error of the annualised volatility."),
        number("mae", "Mean absolute error of the annualised volatility."),
        number("r2", "R2 of the annualised volatility over these rows."),
        number("qlike", "Mean QLIKE on variances, y/f - ln(y/f) - 1; lower is better."),
        SESSIONS_PER_YEAR,
    ),
    key=(*_MODEL_CELL, "horizon"),
    cell=_MODEL_CELL,
)

VALIDATION_FORECASTS = Table(
    "validation_forecasts",
    "Actual and predicted variance on the validation rows of each refit of lstm_reference.",
    (
        *FITTED,
        HORIZON,
        ORIGIN,
        Column("variance", "DOUBLE", "Mean daily variance that the fit gives, bias corrected; decimal."),
        Column("realized_variance", "DOUBLE", "The label: the proxy over the horizon, times the ratio; decimal."),
    ),
    key=(*_MODEL_CELL, "horizon", "origin_date"),
    cell=_MODEL_CELL,
)

VALIDATION_TABLES = (VALIDATION_SCORES, VALIDATION_FORECASTS)
