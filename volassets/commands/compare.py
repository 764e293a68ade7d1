"""`volassets compare`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pandas as pd

from volassets.errors import InputError
from volassets.evaluation.home_comparison import compare_homes
from volassets.reporting.console import print_frame
from volassets.settings import INTERNAL, Settings, load_settings
from volassets.settings_file import FILE_NAME
from volassets.warehouse.store import Warehouse, open_warehouse

TICKERS = "SELECT DISTINCT ticker FROM forecasts ORDER BY ticker"
SCORED = "SELECT model, horizon, origin_date, variance, realized_variance FROM forecast_losses WHERE ticker = $ticker"
FORECAST = "SELECT model, horizon, origin_date, variance FROM forecasts WHERE ticker = $ticker"
PAIRS = "SELECT DISTINCT ticker, model FROM forecasts ORDER BY ALL"
# Where and how a home computes changes no number.
ELSEWHERE = (*INTERNAL, "warehouse", "jobs", "reports", "webhook", "notify")
SHOWN = 10


def compare_command(first: Path, second: Path, style: str) -> None:
    """Print what settings differ between two homes, and the scores of their forecasts on common days."""
    homes = [_settings(place) for place in (first, second)]
    a, b = (open_warehouse(settings) for settings in homes)
    table = style == "table"
    tickers = [ticker for ticker in a.query(TICKERS)["ticker"] if ticker in set(b.query(TICKERS)["ticker"])]
    found = []
    for ticker in tickers:
        scores = compare_homes(a.query(SCORED, {"ticker": ticker}), b.query(FORECAST, {"ticker": ticker}))
        scores.insert(0, "ticker", ticker)
        found.append(scores)
    rows = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    if rows.empty:
        raise InputError(
            f"{first} and {second} have no scored forecast of a ticker, model, horizon and day in common: run the same "
            "months of the same tickers in both."
        )
    if table:
        for line in (*_differences(*homes), *_only_in(a, b)):
            click.echo(line)
    print_frame(rows, style)
    if table:
        worse, better = ((rows["dm_p"] < 0.05) & (sign * rows["dm"] > 0) for sign in (1, -1))
        same = int((rows["same"] == rows["n"]).sum())
        click.echo(
            f"Of {len(rows)} rows the forecasts of {second} are better in {int(better.sum())} and worse in "
            f"{int(worse.sum())} at 5 %; in {same} they are the same, bit for bit. Outcomes are those of {first}."
        )


def _settings(home: Path) -> Settings:
    settings = load_settings(home.expanduser().resolve(), environment={})
    if not (settings.home / FILE_NAME).exists() and not settings.database.exists():
        raise InputError(f"{home} is not a home: it has neither {FILE_NAME} nor {settings.database.name}.")
    return settings


def _differences(a: Settings, b: Settings) -> Iterator[str]:
    found = {
        key: (getattr(a, key), getattr(b, key))
        for key in Settings.model_fields
        if key not in ELSEWHERE and getattr(a, key) != getattr(b, key)
    }
    for name in sorted({*a.model_sections, *b.model_sections}):
        own = [settings.model_sections.get(name, {}) for settings in (a, b)]
        for key in sorted({*own[0], *own[1]}):
            values = [section.get(key, getattr(s.model(name), key)) for section, s in zip(own, (a, b), strict=True)]
            if values[0] != values[1]:
                found[f"[{name}] {key}"] = (values[0], values[1])
    yield from (f"setting   {name}: {one!r} -> {other!r}" for name, (one, other) in found.items())
    if not found:
        yield "setting   none differs"


def _only_in(a: Warehouse, b: Warehouse) -> Iterator[str]:
    one, two = (
        {f"{row['model']} of {row['ticker']}" for row in store.query(PAIRS).to_dict("records")} for store in (a, b)
    )
    for word, own, other in (("first", one, two), ("second", two, one)):
        missing = sorted(own - other)
        if missing:
            more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            yield f"only in the {word}: {', '.join(missing[:SHOWN])}{more}"
