"""Actual and predicted volatility on a network's validation rows."""

from __future__ import annotations

from typing import Any

from volassets.reporting.charts.chart import Chart, lines, look
from volassets.reporting.validation_record import Validation

VOLATILITY = {"log": True, "marks": "whole", "format": "percent"}


def validation_series(record: Validation, caption: str) -> Chart:
    """Return actual and predicted volatility by origin; those of the shortest horizon are shown first."""
    wide = record.rows.pivot(index="origin_date", columns="horizon", values=["actual", "predicted"])
    horizons = sorted(record.rows["horizon"].unique())
    series: list[dict[str, Any]] = []
    for horizon in horizons:
        ahead = f", {horizon} sessions" if horizon > 1 else ""
        shown = {"show": bool(horizon == horizons[0])}
        for name, style in (("actual", {"colour": "ink", "width": 0.9}), ("predicted", look(record.model))):
            values = wide[name][horizon].to_numpy(float)
            series.append({**style, "label": f"{name}{ahead}", "values": values, **shown})
    y = {**VOLATILITY, "label": "annualised volatility"}
    return lines(f"validation-{record.model}", caption, wide.index, series, y, height=260)


def validation_scatter(record: Validation, caption: str) -> Chart:
    """Return actual over predicted volatility at the shortest horizon, with the line on which they agree."""
    rows = record.rows[record.rows["horizon"] == record.rows["horizon"].min()].sort_values("predicted")
    predicted, actual = rows["predicted"].to_numpy(float), rows["actual"].to_numpy(float)
    dots = {"kind": "points", "alpha": 0.7, "size": 4}
    series = [
        {**dots, "label": "actual", "values": actual, "colour": look(record.model)["colour"]},
        {"label": "as predicted", "values": predicted, "colour": "ink", "width": 1},
    ]
    y = {**VOLATILITY, "label": "actual"}
    shown = {"xLabel": "predicted, annualised volatility", "xLog": True, "height": 320}
    return lines(f"validation-scatter-{record.model}", caption, predicted, series, y, **shown)
