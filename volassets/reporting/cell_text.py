"""A table's values as text: p-values never read as zero, and what is missing is blank."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd

from volassets.evaluation.verdict import p_cell

P_VALUE = re.compile(r"(^|_)p(_|$)")


def is_missing(value: Any) -> bool:
    """Return whether `value` is None, NaN, NaT or NA."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def cell_text(value: Any, column: str) -> str:
    """Return a value of `column` as text, floats to four places; a name like ``dm_p`` is of a p-value."""
    if is_missing(value):
        return ""
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}" if value == value.normalize() else f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        if P_VALUE.search(column) and 0 <= value <= 1:
            return p_cell(value)
        return f"{value:.4g}" if abs(value) < 1e-3 and value else f"{value:.4f}"
    return str(value)
