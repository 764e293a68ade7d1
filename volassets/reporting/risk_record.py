"""What the pictures and tables about value at risk are made of: the line against the returns, and the live record."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from volassets.reporting.page_data import TickerData

# Issued sessions with an outcome from which on the live record is shown.
FEWEST_LIVE_SESSIONS = 60
_PATH = """
    SELECT r.target_date, f."return" AS outcome, r.level, r.value_at_risk
    FROM risk_forecasts r JOIN realized_vol_features f ON f.ticker = r.ticker AND f.date = r.target_date
    WHERE r.ticker = $ticker AND r.model = $model AND r.horizon = 1 AND r.tail = $tail AND r.value_at_risk IS NOT NULL
        AND r.level = (
            SELECT min(level) FROM risk_forecasts
            WHERE ticker = $ticker AND model = $model AND horizon = 1 AND tail = $tail AND value_at_risk IS NOT NULL)
    ORDER BY r.target_date
"""
_ISSUED = """
    SELECT model FROM issued_forecasts WHERE ticker = $ticker AND horizon = 1
    GROUP BY model HAVING count(*) >= $fewest
"""
_LIVE_FORECASTS = """
    SELECT model, count(issued_qlike) AS n, min(origin_date) AS first, max(origin_date) AS last,
        avg(issued_qlike) AS issued_qlike, avg(stored_qlike) AS stored_qlike,
        max(abs(difference)) AS largest_difference
    FROM live_forecasts WHERE ticker = $ticker AND horizon = 1 AND issued_qlike IS NOT NULL
    GROUP BY model HAVING count(issued_qlike) >= $fewest ORDER BY issued_qlike, model
"""
_LIVE_RISK = """
    SELECT model, level, tail, count(violation) AS n, count_if(violation) AS violations,
        count_if(violation) / count(violation) AS violation_rate
    FROM live_risk WHERE ticker = $ticker AND horizon = 1 AND violation IS NOT NULL
    GROUP BY model, level, tail HAVING count(violation) >= $fewest ORDER BY tail, level, model
"""


@dataclass(frozen=True)
class RiskPath:
    """The one-session value at risk of one model at the lowest level, with the returns that came.

    Attributes
    ----------
    rows : DataFrame
        Columns target_date, outcome, level, value_at_risk and violation, in order of the dates.
    """

    rows: pd.DataFrame
    model: str
    level: float
    tail: str


def risk_path(data: TickerData) -> RiskPath | None:
    """Return the path of the model that the page is about; None with fewer than two sessions."""
    headline = data.headline
    if headline is None:
        return None
    # Before the first comparison there is no leaderboard.
    model = data.drawn if len(data.leaderboard) else str(headline["model"])
    tail = data.settings.risk_tails[0]
    rows = data.store.query(_PATH, {"ticker": data.ticker, "model": model, "tail": tail})
    if rows["target_date"].nunique() < 2:
        return None
    broken = rows["outcome"] < rows["value_at_risk"] if tail == "lower" else rows["outcome"] > rows["value_at_risk"]
    rows = rows.assign(violation=broken, target_date=pd.to_datetime(rows["target_date"]))
    return RiskPath(rows, model, float(rows["level"].iloc[0]), tail)


@dataclass(frozen=True)
class LiveRecord:
    """How what was issued on the day has held, one session ahead; frames are empty below `FEWEST_LIVE_SESSIONS`.

    Attributes
    ----------
    forecasts : DataFrame
        By model: n, first and last origin, mean QLIKE as issued and as stored now, largest relative difference.
    risk : DataFrame
        By model, level and tail: n, violations and violation_rate of the issued value at risk.
    """

    forecasts: pd.DataFrame
    risk: pd.DataFrame


def live_record(data: TickerData) -> LiveRecord:
    """Return the live record of a ticker."""
    issued = data.store.query(_ISSUED, {"ticker": data.ticker, "fewest": FEWEST_LIVE_SESSIONS})
    if issued.empty:
        # The views cost as much without rows as with them.
        return LiveRecord(pd.DataFrame(), pd.DataFrame())
    asked = {"ticker": data.ticker, "fewest": FEWEST_LIVE_SESSIONS}
    return LiveRecord(data.store.query(_LIVE_FORECASTS, asked), data.store.query(_LIVE_RISK, asked))
