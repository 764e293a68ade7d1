"""Which cells are missing or stale, and why, judged by what is stored against what should be."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from volassets.models.fitting import spec_of
from volassets.models.protocol import Model
from volassets.orchestration.inputs import Run, TickerInputs
from volassets.orchestration.stages import UNSTORED_FITS, stored_hashes

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


def stale_cells(run: Run, inputs: TickerInputs, months: Iterable[pd.Timestamp]) -> list[StaleCell]:
    """Return the missing and stale cells of one ticker in pipeline order.

    Parameters
    ----------
    run : Run
    inputs : TickerInputs
        The ticker's stored bars; cells are judged against them.
    months : iterable of Timestamp
        Refit months asked for.
    """
    months = list(months)
    cells = []
    for asset, expected, reason in (
        ("lag_analysis", inputs.fingerprints.lag_analysis, BARS),
        ("selected_features", inputs.fingerprints.selected_features, f"{BARS}, or selection settings"),
    ):
        stored = stored_hashes(run, asset, inputs.ticker)
        for month in months:
            why = _reason(run, stored.get((month, "")), expected(month), reason)
            if why:
                cells.append(StaleCell(asset, inputs.ticker, month, "", why))
    for family in dict.fromkeys(model.family for model in run.settings.chosen_models.values()):
        models = [model for model in run.settings.chosen_models.values() if model.family == family]
        if family not in UNSTORED_FITS:
            cells += _stale_fits(run, inputs, months, family, models)
        cells += _stale_forecasts(run, inputs, months, family, models)
    return cells


def _reason(run: Run, stored: str | None, expected: str, otherwise: str) -> str:
    if stored is None:
        return MISSING
    if run.force:
        return FORCED
    return "" if stored == expected else otherwise


def _stale_fits(
    run: Run, inputs: TickerInputs, months: list[pd.Timestamp], family: str, models: list[Model]
) -> list[StaleCell]:
    table = f"{family}_fits"
    columns = ["refit_month", "model", "data_hash", "code_version", "parameters"]
    rows = run.warehouse.read(table, columns=columns, ticker=inputs.ticker).to_dict("records")
    stored = {(pd.Timestamp(row["refit_month"]), row["model"]): row for row in rows}
    cells = []
    for month in months:
        for model in models:
            row = stored.get((month, model.name))
            why = _reason(run, row and row["data_hash"], inputs.fingerprints.fit(model, month), BARS)
            if why == BARS and row:
                why = _changed(row, model) or BARS
            if why:
                cells.append(StaleCell(table, inputs.ticker, month, model.name, why))
    return cells


def _changed(row: dict[str, str], model: Model) -> str:
    """Return what changed in the model itself since `row` was fitted; empty when nothing did."""
    if row["code_version"] != model.code_version:
        return f"code version of {model.name} {row['code_version']} -> {model.code_version}"
    before, now = json.loads(row["parameters"])["spec"], spec_of(model)
    changed = [f"{key} {before.get(key)} -> {now[key]}" for key in now if before.get(key) != now[key]]
    return f"{SETTINGS}: [{model.name}] {', '.join(changed)}" if changed else ""


def _stale_forecasts(
    run: Run, inputs: TickerInputs, months: list[pd.Timestamp], family: str, models: list[Model]
) -> list[StaleCell]:
    table = f"{family}_forecasts"
    stored = stored_hashes(run, table, inputs.ticker)
    cells = []
    for month in months:
        for model in models:
            expected = inputs.fingerprints.forecast(model, month)
            why = _reason(run, stored.get((month, model.name)), expected, NEW_BARS)
            if why:
                cells.append(StaleCell(table, inputs.ticker, month, model.name, why))
    return cells


def summary(cells: Iterable[StaleCell]) -> list[str]:
    """Return one line per asset, ticker and reason: how many cells, over which months."""
    cells = list(cells)
    groups: Counter[tuple[str, str, str]] = Counter((cell.asset, cell.ticker, cell.reason) for cell in cells)
    lines = []
    for (asset, ticker, reason), count in groups.items():
        months = sorted({c.month for c in cells if (c.asset, c.ticker, c.reason) == (asset, ticker, reason)})
        span = f"{months[0]:%Y-%m}" if len(months) == 1 else f"{months[0]:%Y-%m} .. {months[-1]:%Y-%m}"
        lines.append(f"{ticker} {asset}: {count} {'cell' if count == 1 else 'cells'} over {span}: {reason}")
    return lines
