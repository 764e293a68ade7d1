"""Figures without pyplot's global state, as SVG for a page and as PNG for the UI."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any

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
    axis.legend(frameon=False, fontsize=_FONT - 1, labelcolor=INK, ncols=columns, handlelength=2.6, **options)


def legend_below(figure: Figure, axis: Axes, columns: int = 5) -> None:
    """Add one legend for the whole figure, under the axes."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=min(columns, max(len(labels), 1)),
        frameon=False,
        fontsize=_FONT - 1,
        labelcolor=INK,
        handlelength=2.6,
    )


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


def to_svg(figure: Figure, name: str) -> str:
    """Return `figure` as an inline SVG element whose ink follows the page.

    Parameters
    ----------
    figure : Figure
    name : str
        Unique on the page: ids inside the picture start from it.
    """
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
