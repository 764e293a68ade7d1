"""What a model is: a frozen specification that fits a window and forecasts from the fit.

A model never sees Dagster, the database or a file. Everything it may use for a refit month is in
the `Window`; everything a forecast needs afterwards is in the `Fit`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

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
    selection : DataFrame
        Rows of ``selected_features`` for this month, indexed by feature, with the columns
        ``selected``, ``center`` and ``scale``.
    members : mapping of str to Fit
        Fits of other models for the same ticker and month; filled for models that declare
        ``members``.
    """

    ticker: str
    month: pd.Timestamp
    features: pd.DataFrame
    horizons: tuple[int, ...]
    ratio: float
    selection: pd.DataFrame
    members: Mapping[str, Fit] = field(default_factory=dict)

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
    members : mapping of str to Fit
        Fits that a combination is made of; not stored, filled again when loaded.
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
    members: Mapping[str, Fit] = field(default_factory=dict)


@runtime_checkable
class Model(Protocol):
    """A specification: a frozen dataclass whose fields are the settings of its section.

    Class variables
    ---------------
    name : str
        Registered name: the settings section, the ``model`` column, the label in plots.
    family : str
        Names the tables ``<family>_fits`` and ``<family>_forecasts`` and their assets.
    code_version : str
        Raised by hand when the same inputs would give other numbers; makes stored fits stale.

    A model that reads `Window.selection` also declares ``uses_selection = True``: only then is it given one.
    A model that some machines cannot fit also has ``check_machine()``, which raises an `InputError` without loading
    anything heavy; a run asks before it writes.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    code_version: ClassVar[str]

    def fit(self, window: Window) -> Fit:
        """Estimate on the window; a pure function of it."""
        ...

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
        ...


def seed_of(ticker: str, month: pd.Timestamp, model: str, number: int) -> int:
    """Return a 63-bit seed from ticker, month, model and seed number; stable across machines."""
    digest = hashlib.sha256(f"{ticker}|{month:%Y-%m}|{model}|{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
