"""Days whose open, high or low is wrong inside a bar that is possible: a range or gap far beyond its neighbours'.

A wrong price in one cell makes a huge range while the close hardly moves; a crash moves the close, and the wildest
flash crash of a large index reached 8 times the usual range. Neighbours are the sessions before and after, so that the
first day of a wild month is no suspect. At a cut-off the sessions after it are not known, and the fewer neighbours
decide.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

NEIGHBOURS = 22
# Times the range, or gap, of more than half of the neighbours.
TIMES = 10.0
# The close moved little: less than this share of the range or gap.
MOVED = 0.25
# Fewer neighbours than this do not decide.
FEWEST = 10


class SuspectRanges:
    """The suspect days of one ticker, as seen from any cut-off.

    Parameters
    ----------
    spans : ndarray, shape (days,)
        (H - L) / C of each day.
    gaps, moves : ndarray, shape (days,)
        Log returns overnight and from close to close; NaN on the first day.
    """

    def __init__(self, spans: np.ndarray, gaps: np.ndarray, moves: np.ndarray) -> None:
        gaps, moves = np.abs(np.nan_to_num(gaps)), np.abs(np.nan_to_num(moves))
        still = moves < MOVED * np.maximum(spans, gaps)
        # The median neighbour is at least half as wide as the narrowest one before; this spares nearly every day.
        narrowest = pd.Series(spans).rolling(NEIGHBOURS).min().shift().fillna(0.0).to_numpy()
        self._days = np.flatnonzero(still & (np.maximum(spans, 2 * gaps) > TIMES / 2 * narrowest))
        self._flags = _flags(spans, gaps, moves, self._days)

    def before(self, cut: int) -> np.ndarray:
        """Return the positions below `cut` that are suspect by the days below `cut` alone."""
        later = np.clip(cut - 1 - self._days, 0, NEIGHBOURS)
        return self._days[(self._days < cut) & self._flags[np.arange(len(self._days)), later]]

    @property
    def first_cut(self) -> float:
        """The smallest cut-off with a suspect day before it; infinity where there is none."""
        day, later = np.nonzero(self._flags)
        return float((self._days[day] + 1 + later).min()) if len(day) else np.inf


def suspect_ranges(bars: pd.DataFrame) -> SuspectRanges:
    """Return the suspect days of `bars`."""
    returns = np.log((bars["adj_close"] / bars["adj_close"].shift()).to_numpy())
    spans = ((bars["high"] - bars["low"]) / bars["close"]).to_numpy()
    return SuspectRanges(spans, returns - np.log((bars["close"] / bars["open"]).to_numpy()), returns)


def suspect_days(bars: pd.DataFrame) -> pd.DataFrame:
    """Return the dates of the suspect days of `bars` (index date) as a column ``date``."""
    index = pd.DatetimeIndex(bars.index)
    return pd.DataFrame({"date": index[suspect_ranges(bars).before(len(bars))] if len(bars) else index})


def _flags(spans: np.ndarray, gaps: np.ndarray, moves: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return whether each of `days` stands out with 0 to `NEIGHBOURS` sessions after it known, a row per day."""
    around = days[:, None] + np.r_[-NEIGHBOURS:0, 1 : NEIGHBOURS + 1]
    there = (around >= 0) & (around < len(spans))
    around = np.clip(around, 0, len(spans) - 1)
    # A day without a range is no measure of one.
    usable = there & (spans[around] > 0)

    def counts(chosen: np.ndarray) -> np.ndarray:
        return chosen[:, :NEIGHBOURS].sum(axis=1)[:, None] + np.cumsum(
            np.column_stack([np.zeros(len(days), int), chosen[:, NEIGHBOURS:]]), axis=1
        )

    known = counts(there)

    def most(far_below: np.ndarray) -> np.ndarray:
        return (counts(usable & far_below) > known / 2) & (known >= FEWEST)

    span, gap, move = (values[days][:, None] for values in (spans, gaps, moves))
    wide = most(TIMES * spans[around] < span) & (move < MOVED * span)
    # Opens that repeat the close have no gaps: a gap must stand out from the ranges too.
    far = most(TIMES * np.maximum(gaps[around], spans[around] / 2) < gap) & (move < MOVED * gap)
    return wide | far
