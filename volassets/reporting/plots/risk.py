"""Value at risk: returns with the line and its violations, and their number over the last 250 sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from volassets.evaluation.risk_tests import RED, TRAFFIC_LIGHT_SESSIONS, YELLOW
from volassets.reporting.figures import INK, dates, new_figure, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GREEN_BAND, YELLOW_BAND, RED_BAND = "#2e7d32", "#f9a825", "#c62828"


def returns_and_limit(rows: pd.DataFrame, line: Mapping[str, Any]) -> Figure:
    """Draw returns, the value at risk as a `line` of matplotlib, and the violations.

    Columns target_date, outcome, value_at_risk and violation.
    """
    figure, axis = new_figure(3.4)
    when, broken = rows["target_date"], rows["violation"].to_numpy(bool)
    axis.plot(when, rows["outcome"], color=INK, linewidth=0.4, alpha=0.5)
    axis.plot(when, rows["value_at_risk"], **line, linewidth=1.0)
    axis.plot(when[broken], rows["outcome"][broken], "o", color=RED_BAND, ms=3)
    axis.set_ylabel("return of the session")
    percent(axis.yaxis)
    axis.margins(x=0.01)
    dates(axis)
    return figure


def violation_count(rows: pd.DataFrame) -> Figure:
    """Draw the violations in the last 250 sessions of each session, over the bands of the traffic light."""
    figure, axis = new_figure(2.2)
    count = rows["violation"].astype(float).rolling(TRAFFIC_LIGHT_SESSIONS).sum()
    top = max(float(count.max()), RED) + 1
    bands = ((0, YELLOW, GREEN_BAND), (YELLOW, RED, YELLOW_BAND), (RED, top, RED_BAND))
    for low, high, colour in bands:
        axis.axhspan(low - 0.5, high - 0.5, color=colour, alpha=0.12, linewidth=0)
    axis.plot(rows["target_date"], count, color=INK, linewidth=1.1, drawstyle="steps-post")
    axis.set_ylabel("violations")
    axis.set_ylim(-0.5, top - 0.5)
    axis.margins(x=0.01)
    dates(axis)
    return figure
