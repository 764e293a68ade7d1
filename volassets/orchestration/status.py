"""What is stored, what is missing or stale, and whether Dagster's record agrees with the tables.

Tickers are read many at once, so that 400 of them with 240 months each take seconds, and not all, to spare memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import dagster as dg
import pandas as pd

from volassets.clock import utc_now
from volassets.orchestration.inputs import Run, TickerInputs
from volassets.orchestration.killed import killed_runs
from volassets.orchestration.plan import MISSING, StaleCell, stale_cells
from volassets.orchestration.recorded import Recorded, recorded_months
from volassets.orchestration.stages import UNSTORED_FITS
from volassets.orchestration.stored import StoredCells
from volassets.orchestration.ticker_stages import comparison_hash
from volassets.partitions import Cells
from volassets.settings import Settings
from volassets.timing import months_between

AT_ONCE = 100
COMPARISON_STALE = "forecasts, bars or backtest settings changed"
FEATURES_STALE = "bars, settings or code changed"


@dataclass(frozen=True)
class TickerStatus:
    """One ticker's state.

    Attributes
    ----------
    bars_to : Timestamp or None
        Last stored bar.
    behind : int
        Sessions that have closed since; its newest forecasts are stale by as many.
    refused : str
        Why the source's last answer was not taken; empty where it was.
    first, last : Timestamp or None
        First and last stored refit month.
    months : int
        Stored refit months.
    cells : list of StaleCell
        Missing and stale cells from `first` to `last`, features and comparison included.
    """

    ticker: str
    bars_to: pd.Timestamp | None
    behind: int
    refused: str
    first: pd.Timestamp | None
    last: pd.Timestamp | None
    months: int
    cells: list[StaleCell]


@dataclass(frozen=True)
class Difference:
    """Months of an asset on which Dagster's record and the tables do not agree."""

    asset: str
    ticker: str
    recorded: bool
    months: list[pd.Timestamp]


@dataclass
class Status:
    """The state of a home."""

    tickers: list[TickerStatus] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)


def read_status(
    settings: Settings, instance: dg.DagsterInstance | None, today: date | None = None, local: bool = False
) -> Status:
    """Return the state of a home; nothing is written or fetched.

    Parameters
    ----------
    settings : Settings
    instance : DagsterInstance or None
        None where Dagster has never run.
    today : date, optional
        UTC date of now; the day's own session counts as open.
    local : bool
        The bars come from files, which do not grow by themselves: they are not behind.
    """
    run = Run(settings)
    yesterday = pd.Timestamp(today or utc_now().date()) - pd.Timedelta(days=1)
    assets = grid_assets(settings)
    recorded = None if instance is None else recorded_months(instance, assets, settings.tickers)
    status = Status(killed=[] if instance is None else killed_runs(instance, settings.home))
    for start in range(0, len(settings.tickers), AT_ONCE):
        tickers = settings.tickers[start : start + AT_ONCE]
        stored, bars = StoredCells(run, tickers), run.bars_of(tickers)
        quality = run.warehouse.read("data_quality", ticker=tickers, severity="error")
        for ticker in tickers:
            inputs = TickerInputs(run, ticker, bars[ticker]) if ticker in bars else None
            refused = " ".join(quality.loc[quality["ticker"] == ticker, "message"])
            status.tickers.append(_ticker_status(run, ticker, inputs, stored, refused, None if local else yesterday))
            if recorded is not None:
                status.differences += _differences(assets, recorded[ticker], ticker, stored)
    return status


def _ticker_status(
    run: Run,
    ticker: str,
    inputs: TickerInputs | None,
    stored: StoredCells,
    refused: str,
    yesterday: pd.Timestamp | None,
) -> TickerStatus:
    months = _stored_months(run.settings, stored, ticker)
    return TickerStatus(
        ticker,
        bars_to=None if inputs is None else inputs.bars.index[-1],
        behind=0 if inputs is None or yesterday is None else _sessions_since(inputs, yesterday),
        refused=refused,
        first=months[0] if months else None,
        last=months[-1] if months else None,
        months=len(months),
        cells=_cells(run, inputs, stored, months) if inputs is not None else [],
    )


def grid_assets(settings: Settings) -> dict[str, list[str]]:
    """Return every asset over ticker x refit month with the models that a complete cell of it has."""
    assets = {"lag_analysis": [""], "selected_features": [""]}
    for name, model in settings.chosen_models.items():
        if model.family not in UNSTORED_FITS:
            assets.setdefault(f"{model.family}_fits", []).append(name)
        assets.setdefault(f"{model.family}_forecasts", []).append(name)
    return assets


def _stored_months(settings: Settings, stored: StoredCells, ticker: str) -> list[pd.Timestamp]:
    return sorted({month for asset in grid_assets(settings) for month, _ in stored.hashes(asset, ticker)})


def _sessions_since(inputs: TickerInputs, yesterday: pd.Timestamp) -> int:
    closed = inputs.calendar.sessions(inputs.bars.index[-1], yesterday)
    return int((closed > inputs.bars.index[-1]).sum())


def _cells(run: Run, inputs: TickerInputs, stored: StoredCells, months: Sequence[pd.Timestamp]) -> list[StaleCell]:
    if not months:
        return []
    cells = []
    features = stored.whole("realized_vol_features", inputs.ticker)
    if features != inputs.fingerprints.features():
        reason = FEATURES_STALE if features else MISSING
        cells.append(StaleCell("realized_vol_features", inputs.ticker, months[-1], "", reason))
    cells += stale_cells(run, inputs, months_between(months[0], months[-1]), stored)
    board = stored.whole("leaderboard", inputs.ticker)
    if board != (comparison_hash(inputs, stored) or ""):
        reason = COMPARISON_STALE if board else MISSING
        cells.append(StaleCell("comparison_reports", inputs.ticker, months[-1], "", reason))
    return cells


def _differences(
    assets: Mapping[str, Sequence[str]], recorded: Recorded, ticker: str, stored: StoredCells
) -> list[Difference]:
    found = []
    for asset, models in assets.items():
        there, known = _complete(stored, asset, ticker, models), recorded[asset]
        if there - known:
            found.append(Difference(asset, ticker, False, sorted(there - known)))
        if known - there:
            found.append(Difference(asset, ticker, True, sorted(known - there)))
    return found


def _complete(stored: StoredCells, asset: str, ticker: str, models: Sequence[str]) -> set[pd.Timestamp]:
    hashes = stored.hashes(asset, ticker)
    months = {month for month, _ in hashes}
    return {month for month in months if all((month, model) in hashes for model in models)}


def cells_of(differences: Sequence[Difference]) -> Cells:
    """Return the months per ticker that any of the differences is about."""
    cells: dict[str, set[pd.Timestamp]] = {}
    for difference in differences:
        cells.setdefault(difference.ticker, set()).update(difference.months)
    return {ticker: sorted(months) for ticker, months in cells.items()}
