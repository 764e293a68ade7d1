"""Forecast from a fit alone: its specification is rebuilt from what the fit recorded."""

from __future__ import annotations

import pandas as pd
from pydantic import TypeAdapter

from volassets.errors import InputError
from volassets.models.protocol import Fit, Model
from volassets.models.registry import MODELS


def specification(fit: Fit) -> Model:
    """Return the specification that `fit` was made with.

    Raises
    ------
    InputError
        If its model is not registered.
    """
    if fit.model not in MODELS:
        raise InputError(f"the fit is of model {fit.model!r}, which is not registered: known are {', '.join(MODELS)}.")
    model: Model = TypeAdapter(MODELS[fit.model]).validate_python(fit.spec)
    return model


def forecast(fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
    """Return the variances of `fit` at `origins`, as `Model.forecast` does.

    Parameters
    ----------
    fit : Fit
        A month's fit, fresh or loaded.
    features : DataFrame
        Feature table up to at least the last origin; later rows change nothing.
    origins : DatetimeIndex
        Dates in `features.index`.

    Returns
    -------
    DataFrame
        Index `origins`, one column per horizon: mean daily variance of sessions t+1 .. t+h, decimal.
    """
    return specification(fit).forecast(fit, features, origins)
