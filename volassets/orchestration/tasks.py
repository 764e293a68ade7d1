"""What a worker process does for one cell; it opens no database, only checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from volassets.evaluation.walk_forward import forecast_month
from volassets.features.lags import analyse_lags
from volassets.market.calendar import named_calendar
from volassets.models.fitting import fit_from_row, fit_to_row, fit_window
from volassets.models.protocol import Fit, Model, Window
from volassets.models.window import make_window, month_selection, training_rows
from volassets.orchestration.workers import SharedFrame


@dataclass(frozen=True)
class WindowRequest:
    """How to cut a window out of the shared features; no selection where the model uses none."""

    ticker: str
    month: pd.Timestamp
    horizons: tuple[int, ...]
    selection: pd.DataFrame | None

    def cut(self, features: pd.DataFrame, members: Mapping[str, Fit] | None = None) -> Window:
        """Return the window."""
        selection = pd.DataFrame() if self.selection is None else self.selection
        return make_window(
            self.ticker, self.month, features, self.horizons, 1.0, "standardize", selection=selection, members=members
        )


@dataclass(frozen=True)
class FitResult:
    """A row of ``<family>_fits`` and what goes with it."""

    row: dict[str, Any]
    history: pd.DataFrame | None
    importance: pd.DataFrame | None


@dataclass(frozen=True)
class ForecastRequest:
    """Everything one model needs to forecast one month.

    Attributes
    ----------
    stored : dict
        Fit rows by model: of the model itself, or of a combination's members.
    members : tuple of Model
        Specifications of the members, those without stored fits included.
    calendar : str
        Name of the exchange calendar; a worker keeps the calendar itself.
    files : str
        Directory or URL that checkpoints are below.
    """

    window: WindowRequest
    model: Model
    stored: dict[str, dict[str, Any]]
    members: tuple[Model, ...]
    origins: pd.DatetimeIndex
    calendar: str
    level: float
    files: str


@dataclass(frozen=True)
class ForecastResult:
    """Rows of ``<family>_forecasts``, and of ``attention`` where the model has one."""

    rows: pd.DataFrame
    attention: pd.DataFrame | None


def select(shared: SharedFrame, month: pd.Timestamp, threshold: float, scaling: str) -> pd.DataFrame:
    """Return the month's selection, one row per feature."""
    return month_selection(month, shared.load(), threshold, scaling).rename_axis("feature").reset_index()


def lags(shared: SharedFrame, month: pd.Timestamp, configured: tuple[int, ...]) -> pd.DataFrame:
    """Return the month's lag analysis of the log proxy."""
    return analyse_lags(training_rows(shared.load(), month)["log_proxy"].dropna(), configured)


def fit(
    shared: SharedFrame, request: WindowRequest, model: Model, data_hash: str, files: str, importance: bool
) -> FitResult:
    """Fit one model, save its checkpoint where it has tensors, and return its row."""
    window = request.cut(shared.load())
    result, seconds = fit_window(model, window)
    checkpoint = ""
    if result.tensors:
        # Imported here: it needs torch's file format, which the other families do not.
        from volassets.models.checkpoints import save

        checkpoint = checkpoint_path(request.ticker, request.month, model.name, data_hash)
        save(result, f"{files}/{checkpoint}", data_hash, model.code_version)
    row = fit_to_row(result, seconds, checkpoint, data_hash, model.code_version)
    return FitResult(row, result.history, _importance(model, result, window) if importance else None)


def forecast(shared: SharedFrame, request: ForecastRequest) -> ForecastResult:
    """Forecast one month with one model from its stored fit."""
    features = shared.load()
    fitted = _fit_of(request, features)
    calendar = named_calendar(request.calendar)
    rows = forecast_month(request.model, fitted, features, request.origins, request.level, calendar)
    describe = getattr(request.model, "attention", None)
    attention = describe(fitted, features, request.origins) if describe and len(request.origins) else None
    return ForecastResult(rows, attention)


def _fit_of(request: ForecastRequest, features: pd.DataFrame) -> Fit:
    def load(model: Model) -> Fit:
        row = request.stored.get(model.name)
        if row is None:
            return model.fit(request.window.cut(features))
        if not row["checkpoint"]:
            return fit_from_row(row)
        from volassets.models.checkpoints import load as load_checkpoint

        return load_checkpoint(f"{request.files}/{row['checkpoint']}", data_hash=row["data_hash"])

    if not request.members:
        return load(request.model)
    members = {model.name: load(model) for model in request.members}
    return request.model.fit(request.window.cut(features, members))


def _importance(model: Model, result: Fit, window: Window) -> pd.DataFrame | None:
    if not result.tensors:
        return None
    from volassets.evaluation.importance import feature_importance

    return feature_importance(result, window)


def checkpoint_path(ticker: str, month: pd.Timestamp, model: str, data_hash: str) -> str:
    """Return the checkpoint's path below the home, or below the URL of the cells."""
    return f"checkpoints/{ticker}/{month:%Y-%m}/{model}-{data_hash}.safetensors"
