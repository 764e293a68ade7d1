"""The audit of the graph's own functions on a bundled history: passes as they are, fails on each planted leak."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from volassets.evaluation import risk_forecasts
from volassets.evaluation.leakage import CONTROL, UNCHANGED
from volassets.evaluation.risk_forecasts import MonthForecasts
from volassets.features import feature_table
from volassets.features.selection import select_features
from volassets.features.targets import proxy_ratio
from volassets.models import window
from volassets.models.registry import MODELS
from volassets.pipeline import model_steps, price_steps, selection_steps
from volassets.pipeline.leakage_audit import STEERED, audit_ticker, cut_dates, memory_pipeline
from volassets.settings import Settings

MONTH = pd.Timestamp("2007-08-01")
BUILD = feature_table.build_features
STEER = risk_forecasts._steered
CHEAP = ("ewma", "gjr", "log_har", "elastic_net")


@pytest.fixture(scope="module")
def bars(sp500_bars) -> pd.DataFrame:
    return sp500_bars.loc["2003":"2008"]


def _small_settings(names: tuple[str, ...], **fields: object) -> Settings:
    """Return settings whose networks are small."""
    small = {"seeds": 2, "epochs": 1, "members": ("elastic_net", "lstm", "gjr")}
    sections = {
        name: {key: value for key, value in small.items() if key in getattr(MODELS[name], "__dataclass_fields__", {})}
        for name in names
    }
    return Settings(models=names, model_sections=sections, **fields)


@pytest.mark.slow
def test_the_graph_passes_with_every_model(bars):
    settings = _small_settings(Settings().models, importance="monthly")
    result = audit_ticker("^GSPC", bars, settings, month=MONTH)
    assert result.passed, result.text()
    rules = result.comparisons
    compared = rules[rules["rule"] == UNCHANGED].groupby("stage")["rows"].min()
    assert set(compared.index) == {"features", "lags", "selection", "fits", "importance", "forecasts", "risk", STEERED}
    assert set(rules["stage"]) == {*compared.index, "labels"}
    assert compared["fits"] == sum(model.stored_fits for model in settings.chosen_models.values())
    assert (rules.loc[rules["rule"] == CONTROL, "changed_rows"] > 0).all()
    assert set(rules["cut_date"]) == set(cut_dates(pd.DatetimeIndex(bars.index), MONTH))


def _after_building(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(price_steps, "build_features", lambda *given, **named: change(BUILD(*given, **named)))

    return plant


def _on_column(change: Callable[[pd.Series], pd.Series]) -> Callable[[pytest.MonkeyPatch], None]:
    return _after_building(lambda features: features.assign(return_z=change(features["return_z"])))


def _full_sample_selection(threshold_only: bool) -> Callable[[pytest.MonkeyPatch], None]:
    """Take either the scaler or the filter from all rows, the other from the training rows."""

    def select(month: pd.Timestamp, features: pd.DataFrame, threshold: float, scaling: str) -> pd.DataFrame:
        honest = select_features(window.training_rows(features, month), threshold, scaling)
        leaky = select_features(features, threshold, scaling)
        scaler = ["center", "scale"]
        first, second = (leaky, honest) if threshold_only else (honest, leaky)
        return first.drop(columns=scaler).join(second[scaler])

    return lambda patch: patch.setattr(selection_steps, "month_selection", select)


PLANTED = {
    "full_sample_scaler": _full_sample_selection(threshold_only=False),
    "bfill": _on_column(lambda z: z.where(z.index.day_of_week == 4).bfill()),
    "centred_rolling": _on_column(lambda z: z.rolling(5, center=True).mean()),
    "shift": _on_column(lambda z: z.shift(-1)),
    "full_sample_winsorising": _on_column(lambda z: z.clip(z.quantile(0.01), z.quantile(0.99))),
    "full_sample_ratio": lambda patch: patch.setattr(
        model_steps,
        "make_window",
        lambda ticker, month, features, *rest: window.Window(
            **{
                **vars(window.make_window(ticker, month, features, *rest)),
                "ratio": proxy_ratio(features["return"], features["proxy_variance"], pd.Timestamp.max),
            }
        ),
    ),
    "full_sample_correlation_filter": _full_sample_selection(threshold_only=True),
}


@pytest.mark.parametrize("leak", PLANTED)
def test_the_graph_with_a_planted_leak_fails(bars, monkeypatch, leak):
    PLANTED[leak](monkeypatch)
    result = audit_ticker("^GSPC", bars, Settings(models=CHEAP), month=MONTH)
    assert not result.passed
    assert UNCHANGED in set(result.failures["rule"])
    assert "was" in result.first_difference


def _one_outcome_too_early(patch: pytest.MonkeyPatch) -> None:
    """Steer the level by the outcome of the session that is being forecast."""

    def steered(forecasts: MonthForecasts, losses: np.ndarray, *rest: object) -> object:
        return STEER(forecasts, np.append(losses[1:], 0.0), *rest)

    patch.setattr(risk_forecasts, "_steered", steered)


def _tail_of_the_whole_month(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MonthForecasts, "known", lambda self, _position: int(np.isfinite(self.residuals).sum()))


@pytest.mark.parametrize("plant", [_one_outcome_too_early, _tail_of_the_whole_month])
def test_a_leak_into_the_steered_level_of_risk_is_found(bars, monkeypatch, plant):
    settings = Settings(models=("ewma",))
    honest = memory_pipeline("^GSPC", settings, (MONTH,))(bars)[STEERED]
    assert set(honest["method"]) == {"evt_conformal"}
    plant(monkeypatch)
    result = audit_ticker("^GSPC", bars, settings, month=MONTH)
    assert STEERED in set(result.failures.loc[result.failures["rule"] == UNCHANGED, "stage"])


def test_options_reach_the_functions(bars):
    settings = Settings(models=("ewma",), horizons=(1,), proxy="squared_return", scaling="minmax", lags=(1, 3))
    stages = memory_pipeline("^GSPC", settings, (MONTH,))(bars)
    assert set(stages) == {"features", "labels", "lags", "selection", "forecasts", "risk", STEERED}
    assert stages["forecasts"]["horizon"].unique().tolist() == [1]
    assert {"ret_lag_1", "ret_lag_3"} <= set(stages["features"].columns)
    assert "ret_lag_6" not in stages["features"].columns
    features = stages["features"].iloc[1:]
    moved = features["return"].abs() > 0.01  # small returns are floored
    np.testing.assert_allclose(features.loc[moved, "proxy_variance"], features.loc[moved, "return"] ** 2)
