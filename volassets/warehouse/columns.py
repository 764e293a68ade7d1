"""Columns that several tables and views have."""

from __future__ import annotations

from volassets.warehouse.declarations import Column

TICKER = Column("ticker", "VARCHAR", "Symbol, as in the settings' list.")
MONTH = Column("refit_month", "DATE", "First day of the refit month: the cut-off that no fit of it looks past.")
MODEL = Column("model", "VARCHAR", "Registered name of the model.")
FITTED = (TICKER, MONTH, MODEL)
HORIZON = Column("horizon", "INTEGER", "Sessions ahead, h: the value is about sessions t+1 .. t+h.")
ORIGIN = Column("origin_date", "DATE", "Last close that the forecast may see, t.")
TARGET_DATE = Column(
    "target_date",
    "DATE",
    "First session that the forecast is about, the one after the origin; where data_quality has calendar_ends for the "
    "ticker and no bar is stored yet, a weekday is assumed to be one.",
)
DATA_HASH = Column("data_hash", "VARCHAR", "Hash of everything that the cell was computed from.", True)
SESSIONS_PER_YEAR = Column(
    "sessions_per_year",
    "INTEGER",
    "Sessions a year that volatilities, ratios and returns are annualised with: 252 on an exchange, 365 for 24/7, 260 "
    "for currencies.",
    True,
)
SCORED_N = Column("n", "INTEGER", "Origins scored.")
FORECAST = (TICKER, MODEL, HORIZON)


def number(name: str, comment: str) -> Column:
    """Return a DOUBLE column that may be NULL."""
    return Column(name, "DOUBLE", comment, True)


def interval(name: str, of: str) -> tuple[Column, Column]:
    """Return the columns of the ends of a bootstrap interval."""
    text = f"end of the bootstrap interval of the {of}."
    return number(f"{name}_low", f"Lower {text}"), number(f"{name}_high", f"Upper {text}")
