"""What a model is: a frozen specification that fits a training window and forecasts from the fit.

A model never sees Dagster, the database or a file. All that it may use for a refit month is in the `Window`; all that
a forecast needs afterwards is in the `Fit`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.features.base_series import FLOOR_WINDOW
from volassets.features.targets import suspect_days, target

TRADING_DAYS = 252


@dataclass(frozen=True)
class Window:
    """The training window of one ticker and refit month.

    Attributes
    ----------
    month : Timestamp
        First day of the refit month: the cut-off.
    features : DataFrame
        Feature table (index ``date``), rows dated before the cut-off only.
    ratio : float
        Proxy ratio c_m over the days before the cut-off.
    selection : DataFrame or None
        Rows of ``selected_features``, indexed by feature; only for a model with `uses_selection`.
    members : mapping of str to FittedModel
        Other models with their fits for the same ticker and month; only for a model with `member_names`.
    sessions_per_year : int
        Of the ticker's calendar, for what a fit says annualised.
    """

    ticker: str
    month: pd.Timestamp
    features: pd.DataFrame
    horizons: tuple[int, ...]
    ratio: float
    selection: pd.DataFrame | None = None
    members: Mapping[str, FittedModel] = field(default_factory=dict)
    sessions_per_year: int = TRADING_DAYS

    def target(self, horizon: int) -> pd.Series:
        """Return the label y_{t,h} per origin t, daily variance; NaN where not realised before the cut-off.

        NaN too where a suspect day is in the label or in the 66 rows that its inputs average.
        """
        label = target(self.features["proxy_variance"], horizon, self.ratio)
        for day in self._suspects:
            label.iloc[max(day - horizon, 0) : day + FLOOR_WINDOW] = np.nan
        return label

    @cached_property
    def _suspects(self) -> np.ndarray:
        return suspect_days(self.features).before(len(self.features))

    def seed(self, model: str, number: int = 0) -> int:
        """Return the seed of one stochastic fit, 63 bits of a hash of ticker, month, model and number."""
        digest = hashlib.sha256(f"{self.ticker}|{self.month:%Y-%m}|{model}|{number}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class Fit:
    """The result of one fit: a table row, and for networks a checkpoint beside it.

    Attributes
    ----------
    model, spec : str, dict
        Registered name, and the field values of the specification, JSON types.
    ratio : float
        Multiplies proxy variances into close-to-close variances.
    train_start, train_end, n_train : Timestamp, Timestamp, int
        First and last row used for estimation, and how many.
    parameters : dict
        Estimates and statistics, JSON types; whatever the forecast needs that is not in `tensors`.
    message : str
        Why not converged, or what was done about it; empty otherwise.
    tensors : mapping of str to ndarray
        Weights of a network, kept in a checkpoint.
    history : DataFrame or None
        Columns seed, epoch, train_loss, validation_loss, learning_rate.
    validation : DataFrame or None
        What the fit gives on the rows that its training stopped on, with what came of them before the cut-off: columns
        horizon, origin_date, variance and realized_variance, daily and decimal; only with `has_validation`.
    members : mapping of str to FittedModel
        Members of a combination; not stored.
    computed_on : str
        Device, precision and instruction set of a network's training. In no hash: the same settings give slightly
        different bits on another kind of machine.
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
    validation: pd.DataFrame | None = None
    members: Mapping[str, FittedModel] = field(default_factory=dict)
    computed_on: str = ""


class Model(ABC):
    """A specification: a frozen dataclass whose fields are the settings of its section.

    The graph, the tables, the audit and the report follow from what is declared here.

    Class variables
    ---------------
    name, family : str
        Settings section and ``model`` column; ``<family>_fits`` and ``<family>_forecasts`` are its tables and assets.
    code_version : str
        Raised by hand when the same inputs would give other numbers; makes stored fits stale.
    coarse_version : str
        The same where more than `volassets.market.bars.COARSE_SHARE` of the returns before the cut-off are zero; empty
        where nothing differs.
    kind : str
        Library behind the model, as the UI shows it: ``python`` or ``pytorch``.
    scope : {"ticker_month", "month"}
        One fit is about one ticker and month, or about one month over all tickers (`PooledModel`).
    stored_fits : bool
        False where fitting again is as cheap as reading.
    uses_selection, has_attention, has_importance, has_validation : bool
        Whether `Window.selection` is needed, whether `attention` and `probe` are implemented, and whether a fit has
        `Fit.validation`.
    members_with_pool : tuple of str
        Default members of a combination where pooled models are among the default models; empty for the same.
    uses_covariates : bool
        Whether the columns of covariates (`volassets.features.covariates`) are inputs.
    history : int or None
        Bars that a fit needs before its cut-off; None takes the setting ``minimum_history``. A `PooledModel` takes
        it for its pool, and forecasts a ticker with ``short_history`` bars.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    code_version: ClassVar[str]
    coarse_version: ClassVar[str] = ""
    kind: ClassVar[str] = "python"
    scope: ClassVar[str] = "ticker_month"
    stored_fits: ClassVar[bool] = True
    uses_selection: ClassVar[bool] = False
    has_attention: ClassVar[bool] = False
    has_importance: ClassVar[bool] = False
    has_validation: ClassVar[bool] = False
    members_with_pool: ClassVar[tuple[str, ...]] = ()
    uses_covariates: ClassVar[bool] = False
    history: ClassVar[int | None] = None

    @property
    def member_names(self) -> tuple[str, ...]:
        """Names of the models that this one combines."""
        return ()

    def check_machine(self) -> None:
        """Raise an InputError if this machine cannot fit the model; called before a run writes, so loads little."""
        return

    def compiled_module(self) -> str:
        """Return which module's code is compiled for a fit on this machine, mostly none; loads little."""
        return ""

    @abstractmethod
    def fit(self, window: Window) -> Fit:
        """Estimate on the window; a pure function of it."""

    @abstractmethod
    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Forecast the mean daily variance of sessions t+1 .. t+h for each origin t, without refitting.

        Parameters
        ----------
        fit : Fit
        features : DataFrame
            Feature table up to at least the last origin. The forecast at t uses rows dated <= t only.
        origins : DatetimeIndex
            Dates in ``features.index``; before or after the cut-off.

        Returns
        -------
        DataFrame
            Index `origins`, one column per horizon, daily variances in decimal, positive; NaN without a forecast.
        """

    def attention(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Return the mean attention of the last days: columns lag_days (0 is the origin) and weight (sums to 1)."""
        raise TypeError(f"{self.name} has no attention")

    def probe(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> Probe:
        """Return the fit on `origins` with inputs that can be shuffled, for permutation importance."""
        raise TypeError(f"{self.name} has no inputs to shuffle")


class PooledModel(Model):
    """A model that is fitted once a month on the rows of all tickers, and forecasts each of them."""

    scope: ClassVar[str] = "month"

    def fit(self, window: Window) -> Fit:
        """Fit a pool of one ticker."""
        return self.fit_pool({window.ticker: window})[window.ticker]

    @abstractmethod
    def fit_pool(self, windows: Mapping[str, Window]) -> dict[str, Fit]:
        """Estimate on the windows of all tickers, whatever their order; return one fit per ticker of the pool."""

    def fit_outside(self, fit: Fit, window: Window) -> Fit:
        """Return the fit of a ticker with a short or a later history: the pool's estimates in `fit`, its own level."""
        raise TypeError(f"{self.name} forecasts the tickers of its pool alone")


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
    """A model with one of its fits, as a member of a combination."""

    model: Model
    fit: Fit

    def forecast(self, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Forecast as `Model.forecast` does."""
        return self.model.forecast(self.fit, features, origins)


def field_values(model: Model) -> dict[str, Any]:
    """Return the settings of a model as JSON types: the `Fit.spec` that it can be rebuilt from."""
    values = dataclasses.asdict(model)  # type: ignore[call-overload]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def new_fit(model: Model, window: Window, rows: pd.DatetimeIndex, **fields: Any) -> Fit:
    """Return the fit of `model` on the training `rows` (dates, in order) of `window`, with `fields` as in `Fit`.

    Raises
    ------
    InputError
        If there is no row.
    """
    if rows.empty:
        raise InputError(
            f"{window.ticker} has no usable row before {window.month:%Y-%m-%d} for {model.name}: choose a later month."
        )
    return Fit(
        model=model.name,
        spec=field_values(model),
        ticker=window.ticker,
        month=window.month,
        horizons=window.horizons,
        ratio=window.ratio,
        train_start=rows[0],
        train_end=rows[-1],
        n_train=len(rows),
        **fields,
    )


def forecast_frame(columns: Mapping[int, np.ndarray], origins: pd.DatetimeIndex) -> pd.DataFrame:
    """Return variances by horizon as the frame that `Model.forecast` promises."""
    return pd.DataFrame(dict(columns), index=origins, dtype=np.float64)


def rows_of(features: pd.DataFrame, origins: pd.DatetimeIndex) -> np.ndarray:
    """Return the row numbers of `origins` in `features`; raise an InputError if one is not there."""
    rows = features.index.get_indexer(origins)
    if (rows < 0).any():
        raise InputError(f"origin {origins[rows < 0][0]:%Y-%m-%d} is not a row of the feature table: build it first.")
    return rows
