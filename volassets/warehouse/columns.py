"""Columns that several tables and views have."""

from __future__ import annotations

from volassets.warehouse.declarations import Column

TICKER = Column("ticker", "VARCHAR", "Symbol, as in the settings' list.")
MONTH = Column("refit_month", "DATE", "First day of the refit month: the cut-off that no fit of it looks past.")
MODEL = Column("model", "VARCHAR", "Registered name of the model.")
HORIZON = Column("horizon", "INTEGER", "Sessions ahead, h: the value is about sessions t+1 .. t+h.")
ORIGIN = Column("origin_date", "DATE", "Last close that the forecast may see, t.")
TARGET_DATE = Column("target_date", "DATE", "First session that the forecast is about, the one after the origin.")
DATA_HASH = Column("data_hash", "VARCHAR", "Hash of everything that the cell was computed from.", True)
SEEN_N = Column("n", "INTEGER", "Origins scored.")


def number(name: str, comment: str) -> Column:
    """Return a DOUBLE column that may be NULL."""
    return Column(name, "DOUBLE", comment, True)
