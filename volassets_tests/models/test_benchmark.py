from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from volassets.errors import InputError
from volassets.models.benchmark import Ewma, Naive, Rolling20
from volassets_tests.models.windows import forecast, origins_after, window_of

BENCHMARKS = (Naive(), Rolling20(), Ewma())


def test_each_smooths_the_proxy_up_to_the_origin(sp500_features: pd.DataFrame) -> None:
    origin = origins_after(sp500_features, count=1)
    past = sp500_features.loc[: origin[0], "proxy_variance"].dropna().to_numpy()
    mean = past[0]
    for value in past[1:]:
        mean = 0.94 * mean + 0.06 * value
    window = window_of(sp500_features)
    for model, expected in zip(BENCHMARKS, (past[-1], past[-20:].mean(), mean), strict=True):
        forecasts = model.forecast(model.fit(window), sp500_features, origin)
        np.testing.assert_allclose(forecasts.to_numpy(), window.ratio * expected, rtol=1e-9)


@pytest.mark.parametrize("model", BENCHMARKS, ids=lambda model: model.name)
def test_later_rows_change_no_bit(model: Naive, sp500_features: pd.DataFrame) -> None:
    origins = origins_after(sp500_features, before=30)
    fit = model.fit(window_of(sp500_features))
    whole = forecast(fit, sp500_features, origins)
    for at in (0, 30, 49):
        part = forecast(fit, sp500_features[: origins[at]], origins[[at]])
        pd.testing.assert_frame_equal(part, whole.iloc[[at]], check_exact=True)


def test_warm_up_has_no_forecast(sp500_features: pd.DataFrame) -> None:
    model = Rolling20()
    forecasts = model.forecast(model.fit(window_of(sp500_features)), sp500_features, sp500_features.index[:25])
    assert forecasts[1].isna().sum() == 20


def test_settings_are_validated() -> None:
    with pytest.raises(ValidationError):
        Ewma(decay=1.0)
    with pytest.raises(ValidationError):
        Rolling20(day=5)  # type: ignore[call-arg]


def test_an_origin_outside_the_table_is_named(sp500_features: pd.DataFrame) -> None:
    fit = Naive().fit(window_of(sp500_features))
    with pytest.raises(InputError, match="2030-01-01"):
        forecast(fit, sp500_features, pd.DatetimeIndex(["2030-01-01"]))
