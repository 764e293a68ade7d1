"""One page in one file: escaped text, tables, charts as data with the script that draws them; nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import pandas as pd

from volassets.reporting.cell_text import is_missing
from volassets.reporting.charts.chart import Chart, payload
from volassets.reporting.palette import look_of

Formatter = Callable[[Any], str]
STYLES = ("web/uplot-1.6.32.min.css", "style.css")
SCRIPTS = ("uplot-1.6.32.min.js", "charts.js", "kinds.js", "maps.js", "page.js")
HOW = "This chart is drawn by the page's own script, which fetches nothing: allow scripts for this file to see it."


@dataclass(frozen=True)
class Section:
    """A part of a page: `name` is its anchor, `body` is HTML with a `figure` of each of the `charts`."""

    name: str
    title: str
    body: str
    charts: Sequence[Chart] = ()


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    `write` turns a value into text (by its type where not given), `best` sets the "low" or "high" value in bold,
    `text` aligns long words at the left and breaks them over lines, `model` shows a model's colour, `link` gives the
    address that a value leads to, if any, and `draw` an HTML picture of it beside or instead of the text.
    """

    heading: str
    write: Formatter | None = None
    best: str = ""
    text: bool = False
    model: bool = False
    link: Callable[[Any], str] | None = None
    draw: Callable[[Any], str] | None = None


def page(title: str, lead: str, sections: Sequence[Section], footer: str) -> str:
    """Return the whole page of escaped texts and `sections`; its policy allows the one script in it and no other."""
    here = files("volassets.reporting")
    contents = [f'<li><a href="#{part.name}">{escape(part.title)}</a></li>' for part in sections]
    body = [f'<section id="{part.name}">\n<h2>{escape(part.title)}</h2>\n{part.body}\n</section>' for part in sections]
    code, allowed = _script()
    return Template((here / "page.html").read_text("utf-8")).substitute(
        title=escape(title),
        style="\n".join((here / name).read_text("utf-8") for name in STYLES),
        lead=escape(lead),
        contents="\n".join(contents),
        body="\n".join(body),
        footer=escape(footer),
        data=payload([chart for part in sections for chart in part.charts]),
        script=code,
        allowed=allowed,
    )


@cache
def _script() -> tuple[str, str]:
    """Return the page's script, and how its content policy names it."""
    here = files("volassets.reporting") / "web"
    code = "\n".join((here / name).read_text("utf-8") for name in SCRIPTS)
    return code, f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def paragraph(text: str, kind: str = "") -> str:
    """Return escaped `text` as a paragraph of class `kind`."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def missing(text: str) -> str:
    """Return the sentence that stands where there is nothing to show."""
    return paragraph(text, "missing")


def sentences(texts: Sequence[str]) -> str:
    """Return verdicts as a list."""
    return '<ul class="verdicts">' + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def answers(listed: Sequence[str]) -> str:
    """Return the first screen of a page: the `listed` answers side by side."""
    return f'<dl class="answers">{"".join(listed)}</dl>'


def answer(question: str, number: str, text: str, markup: str = "") -> str:
    """Return one answer of the first screen: a large `number` with the question above, `text` and HTML below."""
    return (
        f'<div><dt>{escape(question)}</dt><dd class="number">{escape(number)}</dd><dd>{escape(text)}{markup}</dd></div>'
    )


def figure(chart: Chart) -> str:
    """Return the place of `chart` with its caption, which is also what a screen reader says."""
    name, text = escape(chart.name), escape(chart.caption)
    return (
        f'<figure id="figure-{name}" data-chart="{name}" data-says="{text}"><p class="how missing">{escape(HOW)}</p>'
        f"<figcaption>{text}</figcaption></figure>"
    )


def with_charts(name: str, title: str, parts: Sequence[str | Chart]) -> Section:
    """Return a section of HTML and charts in their order."""
    charts = [part for part in parts if isinstance(part, Chart)]
    return Section(name, title, "\n".join(figure(p) if isinstance(p, Chart) else p for p in parts), charts)


def interval_mark(low: float, value: float, high: float, span: tuple[float, float], line: float, colour: str) -> str:
    """Return a small picture of `value` between `low` and `high` on an axis over `span`, with a line at `line`."""
    room = (span[1] - span[0]) or 1.0

    def place(number: float) -> str:
        return f"{4 + 112 * min(max((number - span[0]) / room, 0.0), 1.0):.1f}"

    return (
        '<svg class="mark" viewBox="0 0 120 14" aria-hidden="true">'
        f'<path class="axis" d="M{place(line)} 0V14"/>'
        f'<path stroke="{colour}" stroke-width="2" d="M{place(low)} 7H{place(high)}"/>'
        f'<circle fill="{colour}" r="3.2" cx="{place(value)}" cy="7"/></svg>'
    )


def share_bar(value: float, span: tuple[float, float], colour: str) -> str:
    """Return a small picture of `value` as a bar from 0 on an axis over `span`, which holds 0."""
    room = (span[1] - span[0]) or 1.0
    start, end = (120 * (number - span[0]) / room for number in (min(value, 0.0), max(value, 0.0)))
    zero = -120 * span[0] / room
    return (
        '<svg class="mark" viewBox="0 0 120 14" aria-hidden="true">'
        f'<rect fill="{colour}" x="{start:.1f}" y="2" width="{max(end - start, 0.8):.1f}" height="10"/>'
        f'<path class="axis" d="M{zero:.1f} 0V14"/></svg>'
    )


def sparkline(values: Sequence[float]) -> str:
    """Return a small picture of the course of `values`, gaps left out; empty with fewer than two."""
    known = [(place, value) for place, value in enumerate(values) if not is_missing(value)]
    if len(known) < 2:
        return ""
    low, high = min(value for _, value in known), max(value for _, value in known)
    scale, step = 20 / ((high - low) or 1.0), 110 / (len(values) - 1)
    points = " ".join(f"{5 + step * place:.0f},{22 - scale * (value - low):.0f}" for place, value in known)
    return f'<svg class="mark spark" viewBox="0 0 120 24" aria-hidden="true"><polyline points="{points}"/></svg>'


def table(frame: pd.DataFrame, columns: Mapping[Any, TableColumn]) -> str:
    """Return the given columns of `frame` as a table that scrolls sideways where it is too wide."""
    head = "".join(f'<th scope="col"{" class=text" * c.text}>{escape(c.heading)}</th>' for c in columns.values())
    marked = {name: _best(frame[name], column.best) for name, column in columns.items() if column.best}
    rows = []
    for position, values in enumerate(frame[list(columns)].itertuples(index=False)):
        cells = []
        for (name, column), value in zip(columns.items(), values, strict=True):
            kinds = (["text"] if column.text else []) + (["best"] if marked.get(name) == position else [])
            kind = f' class="{" ".join(kinds)}"' if kinds else ""
            cells.append(f"<td{kind}>{_cell(value, column)}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _best(values: pd.Series, which: str) -> int | None:
    numbers = pd.to_numeric(values, errors="coerce").reset_index(drop=True)
    if numbers.notna().sum() < 2:
        return None
    return int(numbers.argmin() if which == "low" else numbers.argmax())


def _cell(value: Any, column: TableColumn) -> str:
    if column.draw:
        return column.draw(value)
    text = escape(number(value) if column.write is None else "" if is_missing(value) else column.write(value))
    if column.model:
        return f'<span class="swatch" style="background:{look_of(str(value)).colour}"></span>{text}'
    address = column.link(value) if column.link else ""
    return f'<a href="{escape(address)}">{text}</a>' if address else text


def number(value: Any) -> str:
    """Return a number to three decimals, a date as YYYY-MM-DD, nothing for a missing value."""
    if is_missing(value):
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:%Y-%m-%d}" if hasattr(value, "strftime") else str(value)


def percent(value: float, form: str = ".1%") -> str:
    """Return .123 as ``12.3 %``."""
    return format(value, form).replace("%", " %")


def whole_percent(value: float) -> str:
    """Return .9 as ``90 %``."""
    return percent(value, ".0%")


def signed_percent(value: float) -> str:
    """Return .123 as ``+12.3 %``."""
    return percent(value, "+.1%")


def decimals(places: int) -> Formatter:
    """Return a formatter to `places` decimals."""
    return lambda value: f"{value:,.{places}f}"


def count(value: float) -> str:
    """Return a whole number with separators."""
    return f"{int(value):,}"
