"""A portfolio as charts: realised and forecast volatility, correlations of two months."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from volassets.reporting.charts.chart import Chart, lines
from volassets.reporting.plots.portfolio import COLOUR, smoothed


def volatility(rows: pd.DataFrame, caption: str) -> Chart:
    """Return the volatility realised in the last 22 sessions and that forecast for them, annualised."""
    realised, forecast = smoothed(rows)
    series = [
        {"label": "realised", "values": realised.to_numpy(float), "colour": "ink", "width": 0.9, "alpha": 0.8},
        {"label": "forecast", "values": forecast.to_numpy(float), "colour": COLOUR, "width": 1.4},
    ]
    y = {"label": "ann. volatility", "marks": "percent", "format": "percent", "zero": True}
    return lines("volatility", caption, rows["target_date"], series, y, period="5 years")


def correlation_maps(matrices: Mapping[str, pd.DataFrame], captions: Mapping[str, str]) -> list[Chart]:
    """Return a map of correlations per month, the newest first, all on one scale; the diagonal is left out."""
    charts = []
    for month in sorted(matrices, reverse=True):
        matrix = matrices[month]
        values, names = np.array(matrix, float), list(matrix.index)
        np.fill_diagonal(values, np.nan)
        spec = {"kind": "map", "rows": names, "columns": names, "square": True, "bound": 1.0, "format": "signed"}
        charts.append(Chart(f"correlations-{month}", captions[month], {**spec, "values": values.ravel()}))
    return charts
