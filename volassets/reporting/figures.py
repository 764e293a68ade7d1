"""Figures without pyplot's global state, as SVG for a page and as PNG for the UI."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from volassets.reporting.palette import LIGHT_BACKGROUND

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Right as they are on white; `to_svg` replaces them by the page's own colours, which follow light and dark.
INK, GRID, PAPER = "#1c2129", "#d9dde4", "#fefefe"
_PAGE_COLOURS = {INK: "currentColor", GRID: "var(--grid)", PAPER: "var(--paper)"}
WIDTH = 8.4
PNG_LIMIT = 50_000
_FONT = 9
_LEGEND: dict[str, Any] = {"frameon": False, "fontsize": _FONT - 1, "labelcolor": INK, "handlelength": 2.6}


def new_figure(
    height: float = 3.1, rows: int = 1, columns: int = 1, width: float = WIDTH, **options: Any
) -> tuple[Figure, Any]:
    """Return a figure and its axes (an array for more than one), styled; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, **options)
    for axis in figure.axes:
        style(axis)
    return figure, axes


def style(axis: Axes) -> None:
    """Give `axis` ink, grid and font sizes."""
    axis.set_facecolor("none")
    for name, spine in axis.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(INK)
        spine.set_linewidth(0.7)
    axis.tick_params(colors=INK, labelsize=_FONT - 1, width=0.7, length=3)
    axis.grid(True, color=GRID, linewidth=0.6)
    axis.set_axisbelow(True)
    for text in (axis.title, axis.xaxis.label, axis.yaxis.label):
        text.set_color(INK)
        text.set_fontsize(_FONT)
    axis.xaxis.get_offset_text().set_color(INK)


def title(axis: Axes, text: str) -> None:
    """Write a small title at the left."""
    axis.set_title(text, loc="left", fontsize=_FONT, color=INK)


def legend(axis: Axes, columns: int = 1, **options: Any) -> None:
    """Add a legend in ink, without a frame."""
    axis.legend(ncols=columns, **_LEGEND, **options)


def legend_below(figure: Figure, axis: Axes, columns: int = 5) -> None:
    """Add one legend for the whole figure, under the axes."""
    handles, labels = axis.get_legend_handles_labels()
    columns = min(columns, max(len(labels), 1))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, **_LEGEND)


def hide_spare(axes: Any, used: int) -> None:
    """Hide the axes of a grid after the first `used`."""
    for axis in axes.flat[used:]:
        axis.set_visible(False)


def percent(axis: Any, decimals: int = 0) -> None:
    """Write the ticks of `axis` (an XAxis or YAxis) as per cent."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=decimals, symbol=" %"))
    axis.set_minor_formatter(lambda *_: "")


def dates(axis: Axes) -> None:
    """Write the dates of the x axis concisely."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=9)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axis.xaxis.get_offset_text().set_fontsize(_FONT - 1)


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
    round_ones = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0] + ([] if few else [0.005, 0.03, 0.3])
    inside = [value for value in sorted(round_ones) if low * 0.9 <= value <= high * 1.1]
    axis.set_major_locator(FixedLocator(inside or [float(low)]))
    axis.set_minor_locator(NullLocator())
    percent(axis, 1 if low < 0.01 else 0)


def to_svg(figure: Figure, name: str) -> str:
    """Return `figure` as an inline SVG element whose ink follows the page; ids in it follow from the unique `name`."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "path.simplify_threshold": 0.3}):
        figure.savefig(buffer, format="svg", transparent=True, dpi=110, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # The groups' names repeat from picture to picture, and an id may be on a page once only.
    used = set(re.findall(r"#([\w.-]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r'\s(xmlns|xmlns:xlink|version)="[^"]*"', "", text)
    text = text.replace("xlink:href", "href")
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font: \1 system-ui, sans-serif", text)
    text = re.sub(r'<svg width="[^"]*" height="[^"]*"', '<svg aria-hidden="true"', text, count=1)
    # Only inside tags: the numbers on the axes are text.
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d+\.\d{2})\d+", r"\1", tag[0]), text)
    for stand_in, colour in _PAGE_COLOURS.items():
        text = text.replace(stand_in, colour)
    return re.sub(r"\n\s*", "\n", text)


def to_png(figure: Figure, limit: int = PNG_LIMIT) -> bytes:
    """Return `figure` as a PNG on white below `limit` bytes, coarser where it must be."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    data = b""
    for dpi in (100, 85, 70, 55, 40):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, facecolor=LIGHT_BACKGROUND)
        data = _fewer_colours(buffer.getvalue())
        if len(data) < limit:
            break
    return data


def png_data_url(data: bytes) -> str:
    """Return PNG bytes as a data URL."""
    return "data:image/png;base64," + base64.b64encode(data).decode()


def _fewer_colours(png: bytes) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    # An octree is faster than the median cut here, and gives smaller files.
    image = Image.open(io.BytesIO(png)).convert("RGB").quantize(128, method=Image.Quantize.FASTOCTREE)
    image.save(buffer, format="PNG")
    return buffer.getvalue()
