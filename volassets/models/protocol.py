"""What a model is: a frozen specification that fits a window and forecasts from the fit.

A model never sees Dagster, the database or a file. Everything it may use for a refit month is in
the `Window`; everything a forecast needs afterwards is in the `Fit`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from volassets.features.targets import target

TRADING_DAYS = 252


@dataclass(frozen=True)
class Window:
    """Everything that a fit for one refit month may see.

    Attributes
    ----------
    ticker : str
    month : Timestamp
        First day of the refit month: the cut-off.
    features : DataFrame
        Feature table (index ``date``), rows dated before the cut-off only.
    horizons : tuple of int
        Forecast horizons in sessions.
    ratio : float
        Proxy ratio c_m over the days before the cut-off.
    selection : DataFrame or None
        Rows of ``selected_features`` for this month, indexed by feature, with the columns
        ``selected``, ``center`` and ``scale``; None for a model that uses none.
    members : mapping of str to FittedModel
        Other models with their fits for the same ticker and month, by name; filled for models with
        ``member_names``.
    """

    ticker: str
    month: pd.Timestamp
    features: pd.DataFrame
    horizons: tuple[int, ...]
    ratio: float
    selection: pd.DataFrame | None = None
    members: Mapping[str, FittedModel] = field(default_factory=dict)

    def target(self, horizon: int) -> pd.Series:
        """Return the label y_{t,h} per origin t, daily variance; NaN where not realised before the cut-off."""
        return target(self.features["proxy_variance"], horizon, self.ratio)

    def seed(self, model: str, number: int = 0) -> int:
        """Return the seed of one stochastic fit, a function of ticker, month, model and number alone."""
        return seed_of(self.ticker, self.month, model, number)


@dataclass(frozen=True)
class Fit:
    """The result of one fit: a table row, and for nets a checkpoint beside it.

    Attributes
    ----------
    model : str
        Registered name.
    spec : dict
        The specification that was fitted (its field values, JSON types).
    ticker, month, horizons, ratio
        As in the window; `ratio` multiplies proxy variances into close-to-close variances.
    train_start, train_end : Timestamp
        First and last bar used.
    n_train : int
        Rows used for estimation.
    parameters : dict
        Estimates and statistics, JSON types only; everything of the forecast that is not in `tensors`.
    log_likelihood : float or None
    converged : bool
    message : str
        Why not converged, or what was done about it; empty when nothing is to be said.
    tensors : mapping of str to ndarray
        Weights, for nets; stored in a safetensors checkpoint.
    history : DataFrame or None
        Columns seed, epoch, train_loss, validation_loss, learning_rate.
    members : mapping of str to FittedModel
        What a combination is made of; not stored, filled again when loaded.
    computed_on : str
        Device, precision and instruction set that ``auto`` came to, for networks. It stands beside the row and is
        in no hash: the same settings give slightly different bits on another kind of machine.
    """

    model: str
    spec: dict[str, Any]
    ticker: str
    month: pd.Timestamp
    horizons: tuple[int, ...]
    ratio: float
    train_start: pd.Timestamp
    train_end: pd.Timestamp
    n_train: int
    parameters: dict[str, Any] = field(default_factory=dict)
    log_likelihood: float | None = None
    converged: bool = True
    message: str = ""
    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    history: pd.DataFrame | None = None
    members: Mapping[str, FittedModel] = field(default_factory=dict)
    computed_on: str = ""


class Model(ABC):
    """A specification: a frozen dataclass whose fields are the settings of its section.

    What a model can do and what it needs is declared here, with defaults, and read from here: the graph, the
    tables, the audit and the report follow from it.

    Class variables
    ---------------
    name : str
        Registered name: the settings section, the ``model`` column, the label in plots.
    family : str
        Names the tables ``<family>_fits`` and ``<family>_forecasts`` and their assets.
    code_version : str
        Raised by hand when the same inputs would give other numbers; makes stored fits stale.
    kind : str
        Library behind the model, as the UI shows it: ``python`` or ``pytorch``.
    scope : {"ticker_month", "month"}
        What one fit is about: one ticker and month, or one month over all tickers (`PooledModel`).
    stored_fits : bool
        Whether fits are stored; False where fitting again is as cheap as reading.
    uses_selection : bool
        Whether the model reads `Window.selection`: only then is it given one.
    has_attention : bool
        Whether `attention` is there.
    has_importance : bool
        Whether `probe` is there, so that permuting its inputs tells something.
    history : int or None
        Bars that a fit needs before its cut-off; None takes the setting ``minimum_history``.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    code_version: ClassVar[str]
    kind: ClassVar[str] = "python"
    scope: ClassVar[str] = "ticker_month"
    stored_fits: ClassVar[bool] = True
    uses_selection: ClassVar[bool] = False
    has_attention: ClassVar[bool] = False
    has_importance: ClassVar[bool] = False
    history: ClassVar[int | None] = None

    @property
    def member_names(self) -> tuple[str, ...]:
        """Names of the models that this one combines; empty for a model that stands alone."""
        return ()

    def check_machine(self) -> None:
        """Refuse what this machine surely cannot do, without loading anything heavy; a run asks before it writes.

        Raises
        ------
        InputError
            If the model cannot be fitted here.
        """
        return

    @abstractmethod
    def fit(self, window: Window) -> Fit:
        """Estimate on the window; a pure function of it."""

    @abstractmethod
    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Forecast the mean daily variance of sessions t+1 .. t+h for each origin t.

        Parameters
        ----------
        fit : Fit
            Never refitted here, only filtered forward.
        features : DataFrame
            Feature table up to at least the last origin. The row of an origin t uses rows dated
            <= t only, so later rows may be present and change nothing.
        origins : DatetimeIndex
            Dates in ``features.index``; before or after the cut-off.

        Returns
        -------
        DataFrame
            Index `origins`, one column per horizon, daily variances in decimal, positive; NaN
            where the model has no forecast (the fit's message says why).
        """

    def attention(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Return the mean weight of each of the last days (lag_days, weight); only with `has_attention`."""
        raise TypeError(f"{self.name} has no attention")

    def probe(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> Probe:
        """Return the fit on `origins` with inputs that can be shuffled; only with `has_importance`."""
        raise TypeError(f"{self.name} has no inputs to shuffle")


class PooledModel(Model):
    """A model that is fitted once a month on the rows of all tickers, and forecasts each of them."""

    scope: ClassVar[str] = "month"

    def fit(self, window: Window) -> Fit:
        """Fit a pool of one ticker, as `fit_pool` does."""
        return self.fit_pool({window.ticker: window})[window.ticker]

    @abstractmethod
    def fit_pool(self, windows: Mapping[str, Window]) -> dict[str, Fit]:
        """Estimate on the windows of all tickers, sorted by name; return one fit per ticker.

        A pure function of the windows, whatever their order in the settings' list.
        """


@dataclass(frozen=True)
class Probe:
    """A fitted network on fixed rows, one input of which may be shuffled.

    Attributes
    ----------
    places : mapping of str to (int, tuple)
        For every input its array and the index of its slice, the rows being last.
    arrays : tuple of ndarray, float32
        Inputs, rows last.
    log_variance : callable
        From arrays to log variances, shape (horizons, rows).
    """

    places: Mapping[str, tuple[int, tuple[slice | int, ...]]]
    arrays: tuple[np.ndarray, ...]
    log_variance: Callable[[tuple[np.ndarray, ...]], np.ndarray]

    def forecast(self, shuffled: str | None = None, order: np.ndarray | None = None) -> np.ndarray:
        """Return log variances (horizons, rows), with the input `shuffled` taken from the rows in `order`."""
        arrays = list(self.arrays)
        if shuffled is not None:
            number, where = self.places[shuffled]
            arrays[number] = arrays[number].copy()
            arrays[number][where] = self.arrays[number][where][..., order]
        return self.log_variance(tuple(arrays))


@dataclass(frozen=True)
class FittedModel:
    """A model with one of its fits: what a combination is made of.

    Attributes
    ----------
    model : Model
        The specification that `fit` was made with.
    fit : Fit
    """

    model: Model
    fit: Fit

    def forecast(self, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Forecast from the fit alone, as `Model.forecast` does."""
        return self.model.forecast(self.fit, features, origins)


def seed_of(ticker: str, month: pd.Timestamp, model: str, number: int) -> int:
    """Return a 63-bit seed from ticker, month, model and seed number; stable across machines."""
    digest = hashlib.sha256(f"{ticker}|{month:%Y-%m}|{model}|{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
