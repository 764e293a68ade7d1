"""A workbook of what people read: leaderboard, newest forecasts, risk and portfolios, with formats to read them by."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import pandas as pd

from volassets.reporting.cell_text import is_missing
from volassets.reporting.page_data import Store

PERCENT, RETURN, NUMBER, DAY = "0.0 %", "0.00 %", "0.000", "yyyy-mm-dd"
SHARES = (
    "volatility", "lower", "upper", "coverage_90", "qlike_vs_gjr", "rmse", "mae", "bias", "level", "violation_rate",
)  # fmt: skip
RETURNS = ("value_at_risk", "expected_shortfall")
WIDEST = 28


class Sheet(NamedTuple):
    """One sheet: its title, what it is made from, and a line that says what it holds."""

    title: str
    sql: str
    about: str


SHEETS = (
    Sheet(
        "Leaderboard",
        "SELECT ticker, horizon, model, n, qlike, qlike_vs_gjr, dm_p, mcs_p, rmse, mae, r2, coverage_90 "
        "FROM leaderboard ORDER BY ticker, horizon, qlike",
        "Every model by ticker and horizon, best QLIKE first; rmse and mae on annualised volatility.",
    ),
    Sheet(
        "Newest forecasts",
        "SELECT ticker, model, headline, horizon, origin_date, target_date, volatility, lower, upper, old "
        "FROM latest_forecasts ORDER BY ticker, headline DESC, model, horizon",
        "Annualised volatility of the next sessions with its interval; old: the first session is past.",
    ),
    Sheet(
        "Risk",
        "SELECT ticker, model, horizon, tail, level, origin_date, target_date, value_at_risk, expected_shortfall, "
        "method FROM latest_risk ORDER BY ticker, model, horizon, tail, level",
        "Log returns over the horizon; losses are negative.",
    ),
    Sheet(
        "Portfolios",
        "SELECT portfolio, horizon, origin_date, target_date, volatility, lower, upper, "
        "COLUMNS('value_at_risk.*|expected_shortfall.*') FROM latest_portfolio_risk ORDER BY portfolio, horizon",
        "Shares of a book's value over the horizon; losses are negative.",
    ),
)


def workbook(store: Store) -> bytes:
    """Return the workbook of what `store` holds; a sheet without rows has its headings and says so."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for sheet in SHEETS:
        _fill(book.create_sheet(sheet.title), store.query(sheet.sql), sheet.about)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def _fill(sheet: Any, rows: pd.DataFrame, about: str) -> None:
    """Write a line about the rows, their headings and the rows themselves; the headings stay in sight."""
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter

    sheet.append([about if len(rows) else f"{about} There is none yet."])
    sheet["A1"].font = Font(italic=True, color="666666")
    names = [str(name) for name in rows]
    sheet.append([name.replace("_", " ") for name in names])
    for cell in sheet[2]:
        cell.font, cell.alignment = Font(bold=True), Alignment(vertical="top", wrap_text=True)
        cell.fill = PatternFill("solid", fgColor="E8EBF0")
    for row in rows.itertuples(index=False):
        sheet.append([_value(value) for value in row])
    for number, name in enumerate(names, 1):
        letter, form = get_column_letter(number), number_format(name, rows[name])
        for (cell,) in sheet.iter_rows(min_row=3, min_col=number, max_col=number):
            if form:
                cell.number_format = form
        longest = rows[name].astype(str).str.len().max() if not form and len(rows) else 0
        sheet.column_dimensions[letter].width = min(max(len(name) + 2, int(longest) + 2, 11), WIDEST)
    sheet.freeze_panes = "A3"
    if len(rows):
        sheet.auto_filter.ref = f"A2:{get_column_letter(rows.shape[1])}{len(rows) + 2}"


def number_format(name: str, values: pd.Series) -> str:
    """Return the number format of a column; empty for text and whole numbers."""
    if pd.api.types.is_datetime64_any_dtype(values) or name.endswith("_date"):
        return DAY
    if not pd.api.types.is_float_dtype(values):
        return ""
    if name in SHARES or name.startswith(RETURNS):
        return RETURN if name.startswith(RETURNS) else PERCENT
    return NUMBER


def _value(value: Any) -> Any:
    if is_missing(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.item() if hasattr(value, "item") else value
