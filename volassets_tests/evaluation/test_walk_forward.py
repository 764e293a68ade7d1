from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.evaluation.walk_forward import forecast_month
from volassets.features.feature_table import build_features
from volassets.market.calendar import calendar_for
from volassets.models.linear import LogHar
from volassets.models.window import make_window
from volassets.timing import origins_of_month

MONTH = pd.Timestamp("2008-03-01")
CALENDAR = calendar_for("AAA")


@pytest.fixture(scope="module")
def features(simulated_bars) -> pd.DataFrame:
    return build_features(simulated_bars(900, 3), CALENDAR)


@pytest.fixture(scope="module")
def fit(features):
    return LogHar().fit(make_window("AAA", MONTH, features, (1, 5)))


@pytest.fixture(scope="module")
def rows(features, fit) -> pd.DataFrame:
    origins = origins_of_month(pd.DatetimeIndex(features.index), MONTH, CALENDAR)
    return forecast_month(LogHar(), fit, features, origins, 0.9, CALENDAR)


def test_rows_are_the_months_targets_in_stored_units(rows, features):
    assert list(rows.columns[:4]) == ["origin_date", "target_date", "horizon", "variance"]
    assert rows["horizon"].unique().tolist() == [1, 5]
    assert (rows["target_date"].dt.strftime("%Y-%m") == "2008-03").all()
    following = features.index[features.index.searchsorted(rows["origin_date"], side="right")]
    # Simulated bars lie on Good Friday too: where the next bar is stored, it is the next session.
    assert (rows["target_date"] == following).all()
    assert (rows["target_date"] != CALENDAR.next_sessions(pd.DatetimeIndex(rows["origin_date"]))).any()
    assert not rows.isna().any(axis=None)
    np.testing.assert_allclose(rows["volatility"], np.sqrt(252 * rows["variance"]))
    assert ((rows["lower"] < rows["volatility"]) & (rows["volatility"] < rows["upper"])).all()


@pytest.mark.parametrize("kept", [1, 9])
def test_truncated_features_give_the_same_rows(features, fit, rows, kept):
    origins = origins_of_month(pd.DatetimeIndex(features.index), MONTH, CALENDAR)[:kept]
    again = forecast_month(LogHar(), fit, features.loc[: origins[-1]], origins, 0.9, CALENDAR)
    expected = rows[rows["origin_date"].isin(origins)].reset_index(drop=True)
    assert (again["target_date"] == expected["target_date"]).mean() >= 0.8
    last = again["origin_date"] == origins[-1]
    assert (again["target_date"][last] == CALENDAR.next_session(origins[-1])).all()
    again["target_date"] = expected["target_date"]
    pd.testing.assert_frame_equal(again, expected, check_exact=True)


def test_a_horizon_without_forecasts_has_no_rows(features, fit):
    class OneStep(LogHar):
        def forecast(self, fit, features, origins):
            variances = super().forecast(fit, features, origins)
            variances[5] = np.nan
            return variances

    origins = origins_of_month(pd.DatetimeIndex(features.index), MONTH, CALENDAR)
    rows = forecast_month(OneStep(), fit, features, origins, 0.9, CALENDAR)
    assert rows["horizon"].unique().tolist() == [1]
    assert forecast_month(LogHar(), fit, features, origins[:0], 0.9, CALENDAR).empty
