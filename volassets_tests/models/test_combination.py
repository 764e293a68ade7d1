from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.models.benchmark import Naive
from volassets.models.combination import Combination
from volassets.models.garch import Egarch, Gjr
from volassets.models.linear import LogHarLeverage
from volassets.models.protocol import FittedModel
from volassets_tests.models.windows import forecast, origins_after, window_of

Members = dict[str, FittedModel]
NAMES = ("naive", "gjr", "log_har_leverage")


@pytest.fixture(scope="module")
def members(sp500_features: pd.DataFrame) -> Members:
    window = window_of(sp500_features)
    return {model.name: FittedModel(model, model.fit(window)) for model in (Naive(), Gjr(), LogHarLeverage(), Egarch())}


def test_mean_in_logs(members: Members, sp500_features: pd.DataFrame) -> None:
    origins = origins_after(sp500_features)
    fit = Combination(members=NAMES).fit(window_of(sp500_features, members=members))
    product = np.ones((len(origins), 3))
    for name in NAMES:
        product *= members[name].forecast(sp500_features, origins).to_numpy()
    np.testing.assert_allclose(forecast(fit, sp500_features, origins).to_numpy(), product ** (1 / 3), rtol=1e-12)
    assert set(fit.members) == set(NAMES)


def test_default_members() -> None:
    assert Combination().members == ("elastic_net", "lstm", "transformer", "gjr")


def test_members_missing_from_the_run_are_named(members: Members, sp500_features: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"combination needs elastic_net, lstm, transformer, which this run"):
        Combination().fit(window_of(sp500_features, members=members))


def test_past_losses_weigh_the_better_member_more(members: Members, sp500_features: pd.DataFrame) -> None:
    model = Combination(members=NAMES, weights="past_losses")
    fit = model.fit(window_of(sp500_features, members=members))
    for weights in fit.parameters["weights"].values():
        assert sum(weights.values()) == pytest.approx(1.0)
        assert weights["naive"] < weights["gjr"]
    assert fit.parameters == model.fit(window_of(sp500_features[:"2008-09"], members=members)).parameters


def test_past_losses_are_of_realised_labels_only(members: Members, sp500_features: pd.DataFrame) -> None:
    """The last h origins have no label, so what a member forecasts there must not move a weight."""
    window = window_of(sp500_features, members=members, horizons=(22,))
    noisy = window.features.copy()
    for column in ("log_proxy", "return_z_negative"):
        noisy.iloc[-22:, noisy.columns.get_loc(column)] -= 1.0
    model = Combination(members=NAMES, weights="past_losses")
    again = model.fit(window_of(noisy, members=members, horizons=(22,)))
    assert again.parameters == model.fit(window).parameters


def test_later_rows_change_no_bit(members: Members, sp500_features: pd.DataFrame) -> None:
    fit = Combination(members=NAMES).fit(window_of(sp500_features, members=members))
    origins = origins_after(sp500_features, before=100)
    whole = forecast(fit, sp500_features, origins)
    for at in (0, 60, 119):
        part = forecast(fit, sp500_features[: origins[at]], origins[[at]])
        pd.testing.assert_frame_equal(part, whole.iloc[[at]], check_exact=True)
