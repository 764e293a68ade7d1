"""GARCH, GJR-GARCH and EGARCH on daily returns: refitted cold every month, filtered every day in between.

Estimated on ``return`` in percent over the last `window` rows before the cut-off. Between refits the parameters, the
first row and the backcast stay and only the recursion runs on, so a forecast changes every day and depends on rows up
to its origin alone.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.errors import InputError
from volassets.models.garch_estimation import (
    MAX_PERSISTENCE,
    Distribution,
    Estimate,
    Kind,
    conditional_variance,
    estimate,
    log_drift,
)
from volassets.models.protocol import Fit, Model, Window, forecast_frame, new_fit, rows_of

PERCENT = 100.0
LARGEST_LOG_VARIANCE = 50.0


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Garch(Model):
    """GARCH(1,1): h_{t+1} = omega + alpha e_t^2 + beta h_t.

    Horizons beyond one day take the mean of the expected variances of t+1 .. t+h, in closed form.
    """

    name: ClassVar[str] = "garch"
    family: ClassVar[str] = "garch"
    code_version: ClassVar[str] = "1"
    # 0.1.0 took degenerate fits for good ones; those of other prices stay.
    coarse_version: ClassVar[str] = "2"
    recursion: ClassVar[Kind] = "garch"

    window: Annotated[
        int, Field(ge=250, description="Returns before the cut-off that a fit uses; all where there are fewer.")
    ] = 1260
    distribution: Annotated[Distribution, Field(description="Innovations: Student-t or normal.")] = "t"

    def fit(self, window: Window) -> Fit:
        """Estimate on the last `self.window` returns before the cut-off; they must vary.

        The `parameters` are in percent units, with persistence, half_life (days; null where a shock never halves),
        unconditional_volatility (annualised, decimal), the backcast, and `recursion`: garch after a fallback.
        """
        returns = window.features["return"].dropna().iloc[-self.window :]
        percent = PERCENT * returns.to_numpy()
        if not percent.size or np.ptp(percent) == 0:
            raise InputError(
                f"{window.ticker} has no varying return before {window.month:%Y-%m-%d}: {self.name} needs prices that "
                "move. Check the bars or choose a later month."
            )
        found = estimate(self.recursion, percent, self.distribution, max(window.horizons))
        return new_fit(
            self,
            window,
            pd.DatetimeIndex(returns.index),
            parameters=_parameters(found, percent, max(window.horizons), window.sessions_per_year),
            log_likelihood=found.log_likelihood,
            converged=found.converged,
            message=found.message,
        )

    def forecast(self, fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
        """Filter forward from the fit's first row; see `Model.forecast`; NaN before that row."""
        params = fit.parameters
        kind: Kind = params["recursion"]
        rows = rows_of(features, origins)
        first = rows_of(features, pd.DatetimeIndex([fit.train_start]))[0]
        last = max(int(rows.max(initial=first)), first)
        resids = PERCENT * features["return"].to_numpy()[first : last + 1] - params["mu"]
        sigma2 = conditional_variance(kind, params, resids, params["backcast"])
        # Entry i of `sigma2` belongs to row first + i; the origin's forecast is the row after it.
        ahead = np.where(rows >= first, sigma2[np.maximum(rows - first, 0) + 1], np.nan)
        means = (_egarch_means if kind == "egarch" else _garch_means)(params, ahead, max(fit.horizons))
        return forecast_frame({h: means[h - 1] / PERCENT**2 for h in fit.horizons}, origins)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Gjr(Garch):
    """GJR-GARCH(1,1,1): a loss adds gamma e_t^2; several days ahead as for GARCH, losses half of all days."""

    name: ClassVar[str] = "gjr"
    recursion: ClassVar[Kind] = "gjr"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Egarch(Garch):
    """EGARCH(1,1,1): the log variance follows the signed and absolute standardised return.

    With Student-t innovations the mean of a variance more than a day ahead does not exist. Horizons beyond one day
    therefore take its mean under resampling of the training window's standardised returns (the limit of infinitely many
    bootstrap paths): draws are independent and enter the log variance additively, so it is a product of sample means.
    """

    name: ClassVar[str] = "egarch"
    recursion: ClassVar[Kind] = "egarch"


def _parameters(found: Estimate, percent: np.ndarray, longest: int, sessions: int) -> dict[str, Any]:
    """Return what the fit's row keeps, JSON types only."""
    kept = found.persistence
    parameters: dict[str, Any] = {
        **found.params,
        "recursion": found.kind,
        "persistence": kept,
        "half_life": float(np.log(0.5) / np.log(kept)) if 0 < kept < 1 else None,
        "at_persistence_bound": bool(kept >= MAX_PERSISTENCE - 1e-6),
        "unconditional_volatility": _unconditional_volatility(found, sessions),
        "backcast": found.backcast,
    }
    if found.kind == "egarch":
        resids = percent - found.params["mu"]
        sigma2 = conditional_variance(found.kind, found.params, resids, found.backcast)[:-1]
        parameters["log_drift"] = log_drift(found.params, percent, sigma2, longest)
    return parameters


def _unconditional_volatility(found: Estimate, sessions: int) -> float | None:
    """Return the annualised volatility that forecasts tend to, decimal; for egarch that of the mean log variance."""
    if found.persistence >= 1:
        return None
    level = found.params["omega"] / (1 - found.persistence)
    if found.kind == "egarch":
        # A persistence at its bound tends to no volatility that a number could hold.
        return float(np.sqrt(sessions * np.exp(level)) / PERCENT) if level < LARGEST_LOG_VARIANCE else None
    return float(np.sqrt(sessions * level) / PERCENT)


def _garch_means(params: dict[str, Any], ahead: np.ndarray, longest: int) -> list[np.ndarray]:
    """Return the mean of E h_{t+1} .. E h_{t+h} for h = 1 .. longest, from h_{t+1} = `ahead`; percent squared."""
    expected, total, means = ahead, np.zeros_like(ahead), []
    for step in range(1, longest + 1):
        total = total + expected
        means.append(total / step)
        expected = params["omega"] + params["persistence"] * expected
    return means


def _egarch_means(params: dict[str, Any], ahead: np.ndarray, longest: int) -> list[np.ndarray]:
    """Return the same for egarch, by the rule of `Egarch`."""
    log_ahead, total, means = np.log(ahead), np.zeros_like(ahead), []
    for step, drift in enumerate(params["log_drift"][:longest], start=1):
        total = total + np.exp(drift + params["beta"] ** (step - 1) * log_ahead)
        means.append(total / step)
    return means
