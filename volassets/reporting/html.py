"""One page in one file: escaped text, tables, inline pictures; no script, nothing fetched."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

import pandas as pd

from volassets.reporting.cell_text import is_missing
from volassets.reporting.figures import to_svg
from volassets.reporting.palette import look_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Formatter = Callable[[Any], str]


@dataclass(frozen=True)
class Section:
    """A part of a page: `name` is its anchor, `body` is HTML."""

    name: str
    title: str
    body: str


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    `write` turns a value into text (by its type where not given), `best` sets the "low" or "high" value in bold,
    `text` aligns long words at the left and breaks them over lines, `model` shows a model's colour, and `link` gives
    the address that a value leads to, if any.
    """

    heading: str
    write: Formatter | None = None
    best: str = ""
    text: bool = False
    model: bool = False
    link: Callable[[Any], str] | None = None


def page(title: str, lead: str, sections: Sequence[Section], footer: str) -> str:
    """Return the whole page of escaped texts and `sections`."""
    here = files("volassets.reporting")
    contents = [f'<li><a href="#{part.name}">{escape(part.title)}</a></li>' for part in sections]
    body = [f'<section id="{part.name}">\n<h2>{escape(part.title)}</h2>\n{part.body}\n</section>' for part in sections]
    return Template((here / "page.html").read_text("utf-8")).substitute(
        title=escape(title),
        style=(here / "style.css").read_text("utf-8"),
        lead=escape(lead),
        contents="\n".join(contents),
        body="\n".join(body),
        footer=escape(footer),
    )


def paragraph(text: str, kind: str = "") -> str:
    """Return escaped `text` as a paragraph of class `kind`."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def missing(text: str) -> str:
    """Return the sentence that stands where there is nothing to show."""
    return paragraph(text, "missing")


def sentences(texts: Sequence[str]) -> str:
    """Return verdicts as a list."""
    return '<ul class="verdicts">' + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def picture(figure: Figure, name: str, caption: str) -> str:
    """Return `figure` inline with its caption, which is also what a screen reader says."""
    safe = re.sub(r"\W+", "-", name)
    return (
        f'<figure id="figure-{safe}" role="group" aria-label="{escape(caption)}">'
        f'<div class="wide">{to_svg(figure, safe)}</div><figcaption>{escape(caption)}</figcaption></figure>'
    )


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
