"""A chart of one or two lines that is short enough for the UI to show it without a click."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import numpy as np
import pandas as pd

from volassets.reporting.palette import look_of

# The UI folds markdown of more than 1,000 characters; the rest is for the text beside the chart.
MOST_CHARACTERS = 850
_WIDTH, _HEIGHT, _LABELS = 400, 90, 14
_OUTCOME = "#808080"


def small_chart(series: Mapping[str, pd.Series]) -> str:
    """Return lines over the same days as a data URL of an SVG below `MOST_CHARACTERS`.

    Parameters
    ----------
    series : mapping of str to pandas.Series
        Label to values, at most two lines of one index and one unit; a missing value is a gap. ``realised`` is grey, a
        model's line has its colour.

    Returns
    -------
    str
        The URL, with every nth day only where all of them would be too long; empty where nothing is finite.
    """
    values = pd.DataFrame(series).replace([np.inf, -np.inf], np.nan)
    if values.isna().to_numpy().all() or len(values) < 2:
        return ""
    for every in range(1, len(values)):
        url = _url(values.iloc[::every])
        if len(url) <= MOST_CHARACTERS:
            return url
    return ""


def _url(values: pd.DataFrame) -> str:
    low, high = float(values.min().min()), float(values.max().max())
    scale = (_HEIGHT - _LABELS) / (high - low) if high > low else 0.0
    step = max(1, _WIDTH // max(len(values) - 1, 1))
    parts, place = [], 0
    for label in map(str, values):
        colour = look_of(label).colour if label != "realised" else _OUTCOME
        heights = (_HEIGHT - (values[label].to_numpy(float) - low) * scale).round()
        parts.append(f"<path d='{_path(heights, step)}' stroke='{colour}'/>")
        parts.append(f"<text x='{place}' y='9' fill='{colour}'>{label}</text>")
        place += 8 * len(label) + 20
    width, height = step * (len(values) - 1) + 2, _HEIGHT + 2
    frame = f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' fill='none' font-size='11'>"
    return "data:image/svg+xml," + quote(frame + "".join(parts) + "</svg>", safe="/:='(),;-")


def _path(heights: np.ndarray, step: int) -> str:
    """Return a path whose steps are relative, which is shorter, with a move over every gap."""
    text, at, drawing = "", (0, 0), False
    for number in np.flatnonzero(np.isfinite(heights)):
        point = (int(number) * step, int(heights[number]))
        joined = bool(number > 0 and np.isfinite(heights[number - 1]))
        # One letter begins a line; the pairs after it go on.
        text += ("," if drawing else "l") if joined else "m"
        text += f"{point[0] - at[0]},{point[1] - at[1]}"
        at, drawing = point, joined
    return text
