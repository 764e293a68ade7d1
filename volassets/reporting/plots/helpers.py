"""What several pictures share: ticks, colour maps, thinning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from volassets.reporting.figures import INK, percent, style


def thin(frame: pd.DataFrame, most: int = 800) -> pd.DataFrame:
    """Return at most `most` rows of `frame`, evenly spaced."""
    return frame.iloc[:: max(1, -(-len(frame) // most))]


def diverging() -> Any:
    """Return the colour map from blue (below zero) over paper to orange (above), alike for the colour-blind."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("better", ["#004c7a", "#4f9fd0", "#f4f4f2", "#e8955a", "#a34300"])


def style_bar(bar: Any, label: str) -> None:
    """Give a colour bar ink and a label."""
    style(bar.ax)
    bar.ax.grid(False)
    bar.outline.set_visible(False)
    bar.set_label(label, fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=7)


def month_ticks(axis: Any, months: pd.Index) -> None:
    """Label at most a dozen of the months that the columns of a map stand for."""
    step = max(1, -(-len(months) // 12))
    places = range(0, len(months), step)
    axis.set_xticks(list(places), [f"{pd.Timestamp(months[i]):%Y-%m}" for i in places])
    if len(months) > 8:
        for text in axis.get_xticklabels():
            text.set_rotation(40)
            text.set_ha("right")


def volatility_ticks(axis: Any, values: pd.DataFrame, few: bool = False) -> None:
    """Put ticks at round volatilities inside the range of `values`; a power of ten alone says too little."""
    from matplotlib.ticker import FixedLocator, NullLocator

    finite = values.to_numpy(float)
    finite = finite[np.isfinite(finite) & (finite > 0)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.05, 0.5)
    round_ones = [0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0]
    if few:
        round_ones = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
    inside = [value for value in round_ones if low * 0.9 <= value <= high * 1.1]
    axis.set_major_locator(FixedLocator(inside or [float(low)]))
    axis.set_minor_locator(NullLocator())
    percent(axis, 1 if low < 0.01 else 0)
