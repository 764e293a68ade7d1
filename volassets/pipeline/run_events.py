"""What a run's owner should hear of beside its failures: failed checks, violations of value at risk, old prices."""

from __future__ import annotations

from collections.abc import Sequence

from volassets.market.freshness import severity
from volassets.pipeline.context import Context
from volassets.pipeline.freshness import BAR, ages

FAILED, CHECK, VIOLATION, STALE = "failed", "failed check", "value-at-risk violation", "stale"
# The headline model's forecast of the newest session alone: earlier ones were reported when they came.
_VIOLATIONS = """
    WITH newest AS (SELECT ticker, max(date) AS date FROM raw_prices GROUP BY ticker)
    SELECT r.ticker, r.model, r.level, r.tail, r.target_date, r.value_at_risk, f."return" AS outcome
    FROM risk_forecasts r
        JOIN newest n ON n.ticker = r.ticker AND n.date = r.target_date
        JOIN realized_vol_features f ON f.ticker = r.ticker AND f.date = r.target_date
        JOIN headline_models h ON h.ticker = r.ticker AND h.model = r.model
    WHERE r.horizon = 1 AND list_contains($tickers, r.ticker)
        AND CASE WHEN r.tail = 'lower' THEN f."return" < r.value_at_risk ELSE f."return" > r.value_at_risk END
    ORDER BY r.ticker, r.level
"""


def violations(context: Context, tickers: Sequence[str]) -> list[str]:
    """Return a line per ticker, level and tail whose newest return lies beyond the headline model's value at risk."""
    rows = context.warehouse.query(_VIOLATIONS, {"tickers": list(tickers)})
    return [
        f"{row['ticker']} {row['target_date']:%Y-%m-%d}: return {row['outcome']:.2%} beyond the {row['level']:.1%} "
        f"value at risk {row['value_at_risk']:.2%} of {row['model']}"
        for row in rows.to_dict("records")
    ]


def stale_prices(context: Context, tickers: Sequence[str]) -> list[str]:
    """Return a line per ticker whose newest bar is more than five closed sessions old.

    `context.now` decides which sessions have closed; bars of files do not grow by themselves and are never old.
    """
    return [age.line for age in ages(context, tickers) if age.what == BAR and severity(age.sessions) == "error"]
