"""Which cells are missing or stale, and why, judged by what is stored against what should be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from volassets.models.fitting import spec_of
from volassets.models.protocol import Model
from volassets.orchestration.inputs import Run, TickerInputs
from volassets.orchestration.stages import UNSTORED_FITS
from volassets.orchestration.stored import StoredCells

MISSING = "missing"
FORCED = "forced"
BARS = "bars before the cut-off, features or upstream settings changed"
NEW_BARS = "new bars or a refreshed fit"
SETTINGS = "settings changed"


@dataclass(frozen=True)
class StaleCell:
    """One cell of one asset that a run has to compute, and the reason."""

    asset: str
    ticker: str
    month: pd.Timestamp
    model: str
    reason: str


def stale_cells(
    run: Run, inputs: TickerInputs, months: Iterable[pd.Timestamp], stored: StoredCells | None = None
) -> list[StaleCell]:
    """Return the missing and stale cells of one ticker in pipeline order.

    Parameters
    ----------
    run : Run
    inputs : TickerInputs
        The ticker's stored bars; cells are judged against them.
    months : iterable of Timestamp
        Refit months asked for.
    stored : StoredCells, optional
        What is stored; read for this ticker if not given.
    """
    months = list(months)
    stored = stored or StoredCells(run, [inputs.ticker])
    prints = inputs.fingerprints
    cells = _stale(run, "lag_analysis", inputs, stored, months, prints.lag_analysis, BARS)
    selection = prints.selected_features
    cells += _stale(run, "selected_features", inputs, stored, months, selection, f"{BARS}, or selection settings")
    for family in dict.fromkeys(model.family for model in run.settings.chosen_models.values()):
        models = [model for model in run.settings.chosen_models.values() if model.family == family]
        for model in models if family not in UNSTORED_FITS else []:
            found = _stale(run, f"{family}_fits", inputs, stored, months, partial(prints.fit, model), BARS, model.name)
            cells += [_explained(cell, stored, model) for cell in found]
        for model in models:
            expected = partial(prints.forecast, model)
            cells += _stale(run, f"{family}_forecasts", inputs, stored, months, expected, NEW_BARS, model.name)
    return cells


def _stale(
    run: Run,
    asset: str,
    inputs: TickerInputs,
    stored: StoredCells,
    months: list[pd.Timestamp],
    expected: Callable[[pd.Timestamp], str],
    reason: str,
    model: str = "",
) -> list[StaleCell]:
    hashes = stored.hashes(asset, inputs.ticker)
    cells = []
    for month in months:
        found = hashes.get((month, model))
        if found is None:
            cells.append(StaleCell(asset, inputs.ticker, month, model, MISSING))
        elif run.force:
            cells.append(StaleCell(asset, inputs.ticker, month, model, FORCED))
        elif found != expected(month):
            cells.append(StaleCell(asset, inputs.ticker, month, model, reason))
    return cells


def _explained(cell: StaleCell, stored: StoredCells, model: Model) -> StaleCell:
    """Return the cell of a fit with what changed in the model itself, where something did."""
    if cell.reason != BARS:
        return cell
    version, spec = stored.spec(cell.asset, cell.ticker, cell.month, cell.model)
    if version != model.code_version:
        return replace(cell, reason=f"code version of {model.name} {version} -> {model.code_version}")
    before, now = json.loads(spec), spec_of(model)
    changed = [f"{key} {before.get(key)} -> {now[key]}" for key in now if before.get(key) != now[key]]
    return replace(cell, reason=f"{SETTINGS}: [{model.name}] {', '.join(changed)}") if changed else cell


def summary(cells: Iterable[StaleCell]) -> list[str]:
    """Return one line per asset, ticker and reason: how many cells, over which months."""
    groups: dict[tuple[str, str, str], list[pd.Timestamp]] = {}
    for cell in cells:
        groups.setdefault((cell.asset, cell.ticker, cell.reason), []).append(cell.month)
    lines = []
    for (asset, ticker, reason), months in groups.items():
        first, last = min(months), max(months)
        span = f"{first:%Y-%m}" if first == last else f"{first:%Y-%m} .. {last:%Y-%m}"
        lines.append(f"{ticker} {asset}: {len(months)} {'cell' if len(months) == 1 else 'cells'} over {span}: {reason}")
    return lines
