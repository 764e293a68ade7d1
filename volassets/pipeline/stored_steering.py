"""The steering of value at risk at a month's end, as tables keep it for the month that goes on from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from volassets.evaluation.risk_forecasts import MonthRisk, Side, Steering

Steerings = Mapping[tuple[Side, float], Steering]
"""(tail, level) to the steering of one horizon."""


def read_steering(rows: pd.DataFrame, dates: np.ndarray) -> dict[int, Steerings]:
    """Return the steering by horizon that `rows` hold; a table without a tail is of the lower one.

    Quantiles that wait for their outcome are stored by origin date; in memory by its position in `dates`.
    """
    found: dict[int, dict[tuple[Side, float], Steering]] = {}
    # By columns: a month has few rows, and making a record of each cost as much as what is computed in it.
    tails: list[Side] = rows["tail"].tolist() if "tail" in rows else ["lower"] * len(rows)
    columns = (rows[name].tolist() for name in ("horizon", "level", "steered_level", "pending"))
    for tail, horizon, level, steered, text in zip(tails, *columns, strict=True):
        quantiles = json.loads(text)
        places = dates.searchsorted(np.array(list(quantiles), "datetime64[D]").astype(dates.dtype))
        pending = dict(zip(places.tolist(), quantiles.values(), strict=True))
        found.setdefault(int(horizon), {})[tail, float(level)] = Steering(float(steered), pending)
    return dict(found)


def steering_row(horizon: int, risk: MonthRisk, dates: np.ndarray) -> dict[str, Any]:
    """Return the row that `read_steering` reads: the steering at the end of a month."""
    pending = risk.steering.pending
    days = np.datetime_as_string(dates[list(pending)], unit="D").tolist() if pending else []
    return {
        "horizon": horizon,
        "level": risk.level,
        "tail": risk.tail,
        "steered_level": risk.steering.level,
        "pending": json.dumps(dict(zip(days, pending.values(), strict=True))),
    }
