from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.features.feature_table import build_features
from volassets.features.targets import proxy_ratio
from volassets.market.calendar import calendar_for
from volassets.models.linear import Har
from volassets.models.window import calibration_origins, make_window, month_selection
from volassets.timing import origins_of_month

MONTH = pd.Timestamp("2008-03-01")


@pytest.fixture(scope="module")
def features(simulated_bars) -> pd.DataFrame:
    return build_features(simulated_bars(900, 3), calendar_for("AAA"))


def _selecting(features):
    return make_window("AAA", MONTH, features, (1, 5), month_selection(MONTH, features, 0.95, "standardize"))


def test_a_window_ends_before_the_cut_off_and_depends_on_nothing_after(features):
    window = _selecting(features)
    assert window.features.index[-1] < MONTH <= features.index[len(window.features)]
    assert window.ratio == proxy_ratio(features["return"], features["proxy_variance"], MONTH)
    later = features.copy()
    later.loc[MONTH:] = np.random.default_rng(0).random(later.loc[MONTH:].shape)
    for other in (later, features.loc[: MONTH - pd.Timedelta(days=1)]):
        again = _selecting(other)
        pd.testing.assert_frame_equal(again.features, window.features, check_exact=True)
        pd.testing.assert_frame_equal(again.selection, window.selection, check_exact=True)
        assert again.ratio == window.ratio
    assert window.target(5).isna().to_numpy().nonzero()[0][-5:].tolist() == list(
        range(len(window.features) - 5, len(window.features))
    )


def test_a_given_selection_is_used(features):
    selection = pd.DataFrame({"selected": [True]}, index=["log_proxy"])
    assert make_window("AAA", MONTH, features, (1,), selection).selection is selection
    assert make_window("AAA", MONTH, features, (1,)).selection is None


def test_calibration_origins_join_the_months(features):
    index = pd.DatetimeIndex(features.index)
    calendar = calendar_for("AAA")
    before, of_month = calibration_origins(index, MONTH, 100), origins_of_month(index, MONTH, calendar)
    joined = before.append(of_month)
    first = index.get_loc(joined[0])
    assert len(before) == 100
    assert joined.equals(index[first : first + len(joined)])
    assert len(calibration_origins(index, index[3])) == 2
    assert calibration_origins(index, pd.Timestamp("2000-01-01")).empty


def test_no_bar_before_the_cut_off_names_the_month(features):
    with pytest.raises(InputError, match="2001-05"):
        make_window("AAA", pd.Timestamp("2001-05-01"), features, (1,))


def test_a_suspect_day_is_in_no_label_and_spoils_no_fit(sp500_bars):
    calendar = calendar_for("^GSPC")
    bars = sp500_bars.loc["2004":"2008-06"]
    wrong = bars.copy()
    day = wrong.index.get_loc(pd.Timestamp("2007-11-15"))
    wrong.iloc[day, wrong.columns.get_loc("low")] /= 50
    month = pd.Timestamp("2008-06-01")
    clean, spoiled = (make_window("X", month, build_features(history, calendar), (1, 22)) for history in (bars, wrong))
    for horizon in (1, 22):
        label = spoiled.target(horizon)
        lost = np.flatnonzero(label.isna() & clean.target(horizon).notna())
        assert lost.tolist() == list(range(day - horizon, day + 66))
    model = Har()
    forecasts = [
        model.forecast(model.fit(window), window.features, window.features.index[-20:]) for window in (clean, spoiled)
    ]
    # Without three months of rows a fit is another, but no wild one.
    np.testing.assert_allclose(forecasts[1], forecasts[0], rtol=0.25)
