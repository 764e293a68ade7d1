"""`volassets portfolios add` and `list`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.names import check_portfolio_name
from volassets.settings import Settings, load_settings
from volassets.settings_file import add_portfolio, ensure_home
from volassets.warehouse.store import Replacement, open_warehouse

COLUMNS = ("date", "ticker", "weight")


def listed() -> Iterator[str]:
    """Yield every portfolio with its weights, or from when on its dated ones are."""
    settings = load_settings()
    store = open_warehouse(settings) if settings.database.exists() else None
    for name, weights in settings.portfolios.items():
        if weights:
            yield f"{name}: " + ", ".join(f"{ticker} {weight:g}" for ticker, weight in weights.items())
            continue
        rows = pd.DataFrame() if store is None else store.read("positions", portfolio=name)
        if rows.empty:
            yield f"{name}: no weights; `volassets portfolios add {name} --csv FILE` imports them"
        else:
            dates = pd.to_datetime(rows["date"])
            span = f"{dates.min():%Y-%m-%d} to {dates.max():%Y-%m-%d}"
            yield f"{name}: dated weights of {rows['ticker'].nunique()} tickers, {span}"


def add_command(name: str, weights: Sequence[str], file: str | None) -> Iterator[str]:
    """Write a portfolio, from the command line or from a file; yield what was done.

    Raises
    ------
    InputError
        If a weight, a ticker or the file is not possible; nothing is written then.
    """
    settings = load_settings()
    check_portfolio_name(name, settings.tickers)
    if bool(weights) == bool(file):
        raise InputError(
            f"portfolio {name!r} needs its weights once: as TICKER=WEIGHT, such as `volassets portfolios add {name} "
            "^GSPC=1`, or from a file with --csv."
        )
    if file is None:
        given = parsed_weights(weights)
        _require_listed(settings, name, given)
        if not any(given.values()):
            raise InputError(f"portfolio {name!r} holds nothing: give at least one ticker a weight that is not 0.")
        add_portfolio(name, given)
        yield f"portfolio {name}: {', '.join(f'{ticker} {weight:g}' for ticker, weight in given.items())}"
    else:
        rows = read_positions(file)
        _require_listed(settings, name, list(rows["ticker"].unique()))
        ensure_home(settings)
        open_warehouse(settings).write(
            Replacement("positions", rows.assign(portfolio=name), pd.DataFrame({"portfolio": [name]}))
        )
        add_portfolio(name, {})
        yield f"portfolio {name}: {len(rows)} weights on {rows['date'].nunique()} dates imported"
    yield "`volassets run` forecasts its risk."


def parsed_weights(texts: Sequence[str]) -> dict[str, float]:
    """Return weights by ticker from texts ``TICKER=WEIGHT``; a ticker may hold = itself."""
    found: dict[str, float] = {}
    for text in texts:
        ticker, separator, number = text.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = float("nan")
        if not separator or not ticker or not np.isfinite(weight):
            raise InputError(f"{text!r} is no weight: write TICKER=WEIGHT with a number, such as ^GSPC=0.5.")
        if ticker in found:
            raise InputError(f"{ticker!r} has two weights, {found[ticker]:g} and {weight:g}: give one.")
        found[ticker] = weight
    return found


def read_positions(file: str) -> pd.DataFrame:
    """Return the rows of a file of dated weights, columns date, ticker, weight.

    Raises
    ------
    InputError
        If it cannot be read, lacks a column, or a row is not possible, with the first such row.
    """
    path = Path(file).expanduser()
    try:
        rows = pd.read_csv(path, dtype={"ticker": str})
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as CSV ({error}): give a file with {', '.join(COLUMNS)}.") from None
    missing = [name for name in COLUMNS if name not in rows]
    if missing or rows.empty:
        what = f"lacks the column {missing[0]!r}" if missing else "has no rows"
        raise InputError(f"{file} {what}: give a file with the columns {', '.join(COLUMNS)}.")
    rows = rows[list(COLUMNS)]
    dates = pd.to_datetime(rows["date"], format="%Y-%m-%d", errors="coerce")
    weights = pd.to_numeric(rows["weight"], errors="coerce")
    for bad, what in (
        (dates.isna(), "a date that is not YYYY-MM-DD"),
        (rows["ticker"].isna(), "no ticker"),
        (~np.isfinite(weights.astype(float)), "a weight that is not a number"),
        (rows.duplicated(["date", "ticker"]), "the date and ticker of an earlier row"),
    ):
        if bad.any():
            line = int(np.argmax(np.asarray(bad))) + 2
            raise InputError(f"line {line} of {file} has {what}: {rows.iloc[line - 2].to_dict()}. Correct it.")
    if not (weights != 0).any():
        raise InputError(f"{file} holds nothing: every weight is 0. Give at least one ticker another weight.")
    return rows.assign(date=dates, weight=weights.astype(float))


def _require_listed(settings: Settings, name: str, tickers: Iterable[str]) -> None:
    for ticker in tickers:
        if ticker not in settings.tickers:
            raise InputError(
                f"portfolio {name!r} holds {ticker!r}, which is not in the list of tickers: "
                f"`volassets tickers add '{ticker}'` first, or correct the name."
            )
