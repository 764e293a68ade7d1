"""The validation of networks in their newest refit, as the report and the UI show it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from volassets.evaluation.losses import annualised_volatility
from volassets.models.registry import MODELS

if TYPE_CHECKING:
    from volassets.reporting.page_data import TickerData

# The newest refit of each model that has a validation; its rows may be missing, when an earlier release fitted it.
_FITS = """
    SELECT model, refit_month, train_start, train_end, parameters FROM fits
    WHERE ticker = $ticker AND list_contains($models, model)
    QUALIFY row_number() OVER (PARTITION BY model ORDER BY refit_month DESC) = 1 ORDER BY model
"""


@dataclass(frozen=True)
class Validation:
    """The validation of one model's newest refit of a ticker.

    Attributes
    ----------
    month : Timestamp
        The refit month.
    made_of : str
        Layers and number of parameters, in words.
    scores : DataFrame
        Rows of ``validation_scores`` by horizon; empty where an earlier release made the fit.
    rows : DataFrame
        horizon, origin_date, actual and predicted: annualised volatilities, decimal; in order of horizon and origin.
    """

    model: str
    month: pd.Timestamp
    made_of: str
    scores: pd.DataFrame
    rows: pd.DataFrame


def newest_validations(data: TickerData) -> list[Validation]:
    """Return the validations of the ticker's models that have one."""
    fits = data.store.query(_FITS, {"ticker": data.ticker, "models": validated_models()})
    return [_of_fit(data, row) for row in fits.to_dict("records")]


def validated_models() -> list[str]:
    """Return the models whose fits write a validation."""
    return [name for name, model in MODELS.items() if model.has_validation]


def _of_fit(data: TickerData, fit: dict[Any, Any]) -> Validation:
    cell = {"ticker": data.ticker, "refit_month": fit["refit_month"], "model": fit["model"]}
    rows = data.store.read("validation_forecasts", **cell)
    sessions = data.sessions_per_year
    volatilities = {
        "actual": annualised_volatility(rows["realized_variance"].to_numpy(), sessions),
        "predicted": annualised_volatility(rows["variance"].to_numpy(), sessions),
    }
    rows = rows.assign(**volatilities).sort_values(["horizon", "origin_date"], ignore_index=True)
    month = pd.Timestamp(fit["refit_month"])
    scores = data.store.read("validation_scores", **cell).sort_values("horizon", ignore_index=True)
    return Validation(str(fit["model"]), month, made_of(str(fit["model"]), fit["parameters"]), scores, rows)


def made_of(model: str, parameters: str) -> str:
    """Return the layers of a stored fit and how many numbers it has learned, in words."""
    stored = json.loads(parameters)
    spec, inputs, horizons = stored["spec"], len(stored["features"]), len(stored["horizons"])
    count = MODELS[model](**spec).n_parameters(inputs, horizons)  # type: ignore[attr-defined]
    layers = f"{spec['layers']} LSTM layers" if spec["layers"] > 1 else "one LSTM layer"
    return (
        f"{inputs} inputs over {spec['sequence_length']} days, {layers} of {spec['hidden']} units, dropout "
        f"{spec['dropout']:g}, a linear layer with softplus to {horizons} "
        f"{'volatility' if horizons == 1 else 'volatilities'}: {count:,} parameters"
    )
