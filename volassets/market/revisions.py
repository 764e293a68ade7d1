"""Revisions: rows that a vendor changed after they were stored, and the update that follows.

At every dividend a vendor rescales its whole adjusted history by one factor. Returns do not change by that, so the
answer is brought back to the stored scale and is no revision. Everything else that differs is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from volassets.market.bars import BAR_COLUMNS, as_bars, optional_columns

# Vendors send single-precision numbers: the last digits vary between answers without meaning anything.
NOISE = 1e-6
# Adjusted closes are rounded before they are sent, so their common factor shows through with less precision.
SCALE_NOISE = 1e-5


@dataclass(frozen=True)
class Update:
    """What to store after a fetch.

    Attributes
    ----------
    bars : DataFrame
        Stored and fetched bars in one: unchanged rows keep their stored bits.
    changed : DatetimeIndex
        Dates that are new or revised; empty where nothing is to be written.
    revisions : DataFrame
        Every stored number that the vendor changed: ticker, date, column, old, new (NaN: the row was withdrawn) and
        seen_at. Adjusted closes are compared on the stored scale, so a new dividend is none.
    """

    bars: pd.DataFrame
    changed: pd.DatetimeIndex
    revisions: pd.DataFrame


def update_bars(ticker: str, stored: pd.DataFrame, fetched: pd.DataFrame, seen_at: datetime) -> Update:
    """Return the stored bars brought up to date with the fetched ones.

    A stored date inside the fetched span that the answer lacks was withdrawn by the vendor: it is dropped and
    recorded with a new value of NaN. Stored dates outside the span stay.

    Either may reach further back or forward; `ticker` and `seen_at` go into the revision rows.
    """
    stored, fetched = as_bars(stored), as_bars(fetched)
    fetched = _on_stored_scale(stored, fetched)
    found = _revisions(ticker, stored, fetched, seen_at)
    revised = pd.DatetimeIndex(found["date"].unique())
    kept = stored.index.difference(revised)
    fresh = fetched.index.difference(kept)
    bars = pd.concat([stored.loc[kept], fetched.loc[fresh]]).sort_index()
    bars.index.name = "date"
    return Update(bars, pd.DatetimeIndex(fresh.union(revised), name="date"), found)


def _revisions(ticker: str, stored: pd.DataFrame, fetched: pd.DataFrame, seen_at: datetime) -> pd.DataFrame:
    """Return every stored number that the fetched bars contradict, one row each, by date and bar column."""
    if len(stored) and len(fetched):
        span = (stored.index >= fetched.index[0]) & (stored.index <= fetched.index[-1])
    else:
        span = np.zeros(len(stored), dtype=bool)
    # A measure that the source has begun or ceased to give differs on every day that it covers.
    optional = optional_columns(stored) or optional_columns(fetched)
    columns = [*BAR_COLUMNS, *optional]
    old = stored.loc[span].reindex(columns=columns)
    withdrawn = ~old.index.isin(fetched.index)
    new = fetched.reindex(index=old.index, columns=columns)
    differs = ~_close(old, new, NOISE)
    differs[:, columns.index("adj_close")] &= ~_close(old["adj_close"], new["adj_close"], SCALE_NOISE)
    for name in optional:
        differs[:, columns.index(name)] &= ~(old[name].isna() & new[name].isna()).to_numpy() | withdrawn
    row, column = np.nonzero(differs)
    return pd.DataFrame(
        {
            "ticker": ticker,
            "date": old.index[row],
            "column": np.array(columns, dtype=object)[column],
            "old": old.to_numpy()[row, column],
            "new": new.to_numpy()[row, column],
            "seen_at": seen_at,
        }
    )


def _on_stored_scale(stored: pd.DataFrame, fetched: pd.DataFrame) -> pd.DataFrame:
    """Return `fetched` with adjusted closes on the scale of the stored ones, if one factor joins them.

    The factor is read from the common dates and must explain nine in ten of them. Otherwise, or where raw closes have
    another scale too (a split), the answer is returned as it is, and the difference is a revision.
    """
    common = stored.index.intersection(fetched.index)
    if len(common) == 0:
        return fetched
    old, new = stored.loc[common], fetched.loc[common]
    factor = float((old["adj_close"] / new["adj_close"]).median())
    explained = _close(old["adj_close"], new["adj_close"] * factor, SCALE_NOISE)
    split = abs(float((old["close"] / new["close"]).median()) - 1) > NOISE
    if split or abs(factor - 1) <= NOISE or explained.mean() < 0.9:
        return fetched
    return fetched.assign(adj_close=fetched["adj_close"] * factor)


def _close(old: pd.DataFrame | pd.Series, new: pd.DataFrame | pd.Series, tolerance: float) -> np.ndarray:
    """Return where the numbers agree within a relative tolerance; NaN agrees with nothing."""
    a, b = old.to_numpy(), new.to_numpy()
    return np.abs(a - b) <= tolerance * np.abs(a)
