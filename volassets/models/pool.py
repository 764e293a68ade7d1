"""Models that are fitted once a month on the rows of all tickers, with a level of each ticker's own.

Every input of a row is made from its own ticker's bars before the cut-off, so exchanges that close at different hours
cannot leak into each other. Tickers are taken in the order of their names: the order in which they are given changes no
bit. The label is the networks' own, the log of the target over the ticker's anchored level.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.features.covariates import names_in
from volassets.models.linear import center_and_scale
from volassets.models.protocol import Fit, PooledModel, Window, forecast_frame, new_fit, rows_of
from volassets.models.sequences import (
    ANCHOR,
    LIMIT,
    MINIMUM_ROWS,
    Inputs,
    Labels,
    build_inputs,
    build_labels,
    labelled_rows,
)

# Days of a sequence: the lags of the log variance that the regressions take, and the networks' own.
DAYS = 22


@dataclass(frozen=True)
class Member:
    """One ticker's training rows: positions in the window's features, inputs and labels."""

    window: Window
    rows: np.ndarray
    inputs: Inputs
    labels: Labels

    @property
    def dates(self) -> pd.DatetimeIndex:
        """Dates of the rows."""
        return pd.DatetimeIndex(self.window.features.index[self.rows])

    def label_ends(self, horizon: int) -> np.ndarray:
        """Return the day on which each row's label is realised; the last one where it is not."""
        days = self.window.features.index.to_numpy()
        return days[np.minimum(self.rows + horizon, len(days) - 1)]


def pool_members(
    model: str, windows: Mapping[str, Window], length: int, maximum_rows: int, covariates: Sequence[str] = ()
) -> list[Member]:
    """Return the members of the pool by name: the tickers with at least 100 labelled rows.

    Parameters
    ----------
    model : str
        Seeds the sample, with ticker and month.
    windows : mapping of str to Window
        By ticker, of one month.
    length : int
        Days in a sequence.
    maximum_rows : int
        Rows of all tickers together; above it each gives the same number, drawn at random.
    covariates : sequence of str
        Columns of covariates that are inputs of every member; 0 for one that has none.

    Raises
    ------
    InputError
        If there is no member.
    """
    members = []
    for ticker in sorted(windows):
        window = windows[ticker]
        inputs = build_inputs(window.features, length, covariates)
        rows = labelled_rows(window, inputs.usable)
        if len(rows) < MINIMUM_ROWS:
            continue
        labels = build_labels(window, inputs.anchor[rows], rows)
        share = max(maximum_rows // len(windows), 1)
        taken = np.arange(len(rows))
        if len(rows) > share:
            taken = np.sort(np.random.default_rng(window.seed(model)).choice(taken, share, replace=False))
        members.append(Member(window, rows[taken], inputs.take(rows[taken]), labels.take(taken)))
    if not members:
        raise InputError(
            f"no ticker of the pool ({', '.join(sorted(windows)) or 'none'}) has {MINIMUM_ROWS} usable rows for "
            f"{model}: choose a later month or fetch an earlier history."
        )
    return members


def covariates_of(windows: Mapping[str, Window]) -> list[str]:
    """Return the columns of covariates that any ticker of a pool has, sorted."""
    return sorted({name for window in windows.values() for name in names_in(window.features.columns)})


class TickerPool(PooledModel):
    """What the pooled models share: the members, and the fit of a ticker that is none."""

    family: ClassVar[str] = "pooled"
    code_version: ClassVar[str] = "1"
    maximum_rows: int

    def pool_seed(self, members: Sequence[Member], number: int = 0) -> int:
        """Return a seed of the month that does not depend on who is in the pool."""
        return replace(members[0].window, ticker="").seed(self.name, number)

    def fit_outside(self, fit: Fit, window: Window) -> Fit:
        """See `PooledModel.fit_outside`; the smearing of a regression is that of the whole pool."""
        anchor = window.features[ANCHOR].to_numpy(np.float64)
        rows = labelled_rows(window, np.isfinite(anchor))
        if len(rows) < max(window.horizons):
            raise InputError(
                f"{window.ticker} has {len(rows)} labelled days before {window.month:%Y-%m-%d}, the level of "
                f"{self.name} needs {max(window.horizons)}: choose a later month."
            )
        parameters = fit.parameters | {"level": build_labels(window, anchor[rows], rows).level.tolist()}
        if "smearing" in parameters:
            parameters["smearing"] = parameters["pool_smearing"]
        dates = pd.DatetimeIndex(window.features.index[rows])
        return new_fit(self, window, dates, parameters=parameters, tensors=fit.tensors, computed_on=fit.computed_on)


class PooledRegression(TickerPool):
    """One regression per horizon of the label on the networks' static inputs and 22 lags of the log variance.

    Inputs are standardised on the pool's training rows and clipped to +-6. Forecasts are multiplied by the mean of y/f
    over the ticker's own training rows (Duan 1983).
    """

    @abstractmethod
    def estimate(
        self, inputs: np.ndarray, label: np.ndarray, days: np.ndarray, ends: np.ndarray, seed: int
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Regress label, shape (n,), on inputs, shape (n, k); return JSON types and tensors.

        Parameters
        ----------
        days, ends : ndarray of datetime64, shape (n,)
            A row's own day, and the day on which its label is realised.
        seed : int
            For what is random.
        """

    @abstractmethod
    def predict(self, equation: dict[str, Any], tensors: Mapping[str, np.ndarray], inputs: np.ndarray) -> np.ndarray:
        """Return the label that `estimate` expects, shape (n,); a row's bits depend on the row alone."""

    def fit_pool(self, windows: Mapping[str, Window]) -> dict[str, Fit]:
        """See `PooledModel.fit_pool`."""
        covariates = covariates_of(windows) if self.uses_covariates else []
        members = pool_members(self.name, windows, DAYS, self.maximum_rows, covariates)
        flat = np.concatenate([flat_inputs(member.inputs) for member in members])
        center, scale = center_and_scale(flat)
        inputs = standardised(flat, center, scale)
        owner = np.repeat(np.arange(len(members)), [len(member.rows) for member in members])
        days = np.concatenate([member.dates.to_numpy() for member in members])
        equations: dict[str, Any] = {}
        tensors: dict[str, np.ndarray] = {}
        smearing, of_pool = [], []
        for number, horizon in enumerate(members[0].window.horizons):
            label = np.concatenate([member.labels.log_ratio[number] for member in members])
            known = np.concatenate([member.labels.realised[number] for member in members]) > 0
            ends = np.concatenate([member.label_ends(horizon) for member in members])[known]
            seed = self.pool_seed(members, number)
            equation, arrays = self.estimate(inputs[known], label[known], days[known], ends, seed)
            ratio = np.exp(label - self.predict(equation, arrays, inputs))
            smearing.append([float(ratio[known & (owner == place)].mean()) for place in range(len(members))])
            of_pool.append(float(ratio[known].mean()))
            equations[str(horizon)] = equation
            tensors |= {f"{horizon}.{name}": array for name, array in arrays.items()}
        shared = {
            "pool": [member.window.ticker for member in members],
            "center": center.tolist(),
            "scale": scale.tolist(),
            "equations": equations,
            "pool_smearing": of_pool,
            **({"covariates": covariates} if covariates else {}),
        }
        fits = {}
        for member, own in zip(members, zip(*smearing, strict=True), strict=True):
            parameters = shared | {"level": member.labels.level.tolist(), "smearing": list(own)}
            fits[member.window.ticker] = new_fit(
                self, member.window, member.dates, parameters=parameters, tensors=tensors
            )
        return fits

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """See `Model.forecast`; NaN in the warm-up of the inputs."""
        stored = fit.parameters
        inputs = build_inputs(features, DAYS, stored.get("covariates", ())).take(rows_of(features, origins))
        values = standardised(flat_inputs(inputs), np.array(stored["center"]), np.array(stored["scale"]))
        columns = {}
        for horizon, level, smearing in zip(fit.horizons, stored["level"], stored["smearing"], strict=True):
            prefix = f"{horizon}."
            tensors = {
                name.removeprefix(prefix): array for name, array in fit.tensors.items() if name.startswith(prefix)
            }
            correction = self.predict(stored["equations"][str(horizon)], tensors, np.nan_to_num(values))
            variance = smearing * np.exp(inputs.anchor + level + correction)
            columns[horizon] = np.where(inputs.usable, variance, np.nan)
        return forecast_frame(columns, origins)


def flat_inputs(inputs: Inputs) -> np.ndarray:
    """Return the static inputs and the lags 0 .. 21 of the log variance less the anchor, shape (n, 39)."""
    return np.concatenate([inputs.static, inputs.sequence[:, ::-1, 0]], axis=1)


def standardised(values: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return values per column less `center` over `scale`, clipped to +-6."""
    return np.clip((values - center) / scale, -LIMIT, LIMIT)
