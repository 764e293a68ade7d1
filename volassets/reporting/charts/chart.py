"""A chart as data: what a page's script needs to draw it, its numbers packed and each array held once."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from volassets.reporting.palette import look_of

# A code of 16 bits resolves a 65,534th of the range, finer than what is written beside the pointer.
MISSING = 65535
# uPlot takes lengths in pixels; the palette's are in points of matplotlib's line width.
DASH_SCALE = 1.6


@dataclass(frozen=True)
class Chart:
    """A figure of a page: `spec` is JSON in which arrays stand for numbers; the caption is also its spoken text."""

    name: str
    caption: str
    spec: Mapping[str, Any]


def lines(
    name: str, caption: str, x: Any, series: Sequence[Mapping[str, Any]], y: Mapping[str, Any], **more: Any
) -> Chart:
    """Return a chart of lines, steps, points or bars.

    Parameters
    ----------
    name, caption : str
    x : array
        Dates, or numbers with `xLabel` in `more`; increasing.
    series : sequence of mappings
        label, values (array), colour, and optionally kind, dash, width, show, format.
    y : mapping
        label, marks (format of the ticks), format (of the values), log.
    more
        height, zones, period, sync, as the script takes them.
    """
    days = np.asarray(x)
    time = days.dtype.kind == "M"
    spec = {"kind": "lines", "time": time, "x": as_days(days) if time else days, "series": series, "y": y, **more}
    return Chart(name, caption, spec)


def look(model: str) -> dict[str, Any]:
    """Return a model's label, colour and dash as the script takes them."""
    style = look_of(model)
    dash = [DASH_SCALE * length for length in style.dash[1]] if isinstance(style.dash, tuple) else []
    return {"label": model, "colour": style.colour, "dash": dash}


def as_days(dates: Any) -> np.ndarray:
    """Return dates as whole days since 1970-01-01."""
    return pd.DatetimeIndex(dates).to_numpy("datetime64[D]").astype(np.int64)


def payload(charts: Sequence[Chart]) -> str:
    """Return the charts as JSON that may stand inside a script element; equal arrays are held once."""
    arrays: dict[str, dict[str, Any]] = {}

    def held(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            packed = pack(value)
            name = hashlib.sha256(repr(sorted(packed.items())).encode()).hexdigest()[:10]
            arrays[name] = packed
            return name
        if isinstance(value, Mapping):
            return {str(key): held(item) for key, item in value.items()}
        return [held(item) for item in value] if isinstance(value, list | tuple) else value

    specs = {chart.name: held(chart.spec) for chart in charts}
    text = json.dumps({"charts": specs, "arrays": arrays}, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def pack(values: np.ndarray) -> dict[str, Any]:
    """Return numbers as base64 of little-endian codes, NaN as a gap.

    Whole numbers over a span below 65,535 are exact; others are codes of 16 bits between their least and greatest, or
    floats of 32 bits where the greatest is over a hundred times the least, so that a logarithmic axis keeps its detail.
    """
    numbers = np.asarray(values, float)
    known = np.isfinite(numbers)
    low, high = (float(numbers[known].min()), float(numbers[known].max())) if known.any() else (0.0, 0.0)
    whole = high - low < MISSING and bool((numbers[known] == np.round(numbers[known])).all())
    if not whole and low > 0 and high > 100 * low:
        return {"f": _text(np.where(known, numbers, np.nan).astype("<f4"))}
    unit = 1.0 if whole or low == high else (high - low) / (MISSING - 1)
    codes = np.full(len(numbers), MISSING, "<u2")
    codes[known] = np.round((numbers[known] - low) / unit)
    return {"b": _text(codes), "unit": unit, "offset": low}


def _text(codes: np.ndarray) -> str:
    return base64.b64encode(codes.tobytes()).decode()
