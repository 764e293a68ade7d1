from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.evaluation import losses
from volassets_tests.evaluation.forecasts import scored_forecasts


def test_scores_by_hand():
    frame = pd.DataFrame(
        {
            "ticker": "A", "model": "m", "horizon": 1, "origin_date": pd.bdate_range("2020", periods=2),
            "variance": [0.04 / 252, 0.09 / 252], "realized_variance": [0.09 / 252, 0.04 / 252],
            "lower": [0.1, 0.25], "upper": [0.3, 0.4], "squared_return": [0.0, 0.09 / 252],
        }
    )  # fmt: skip
    values = losses.scores(losses.with_losses(frame))
    assert values["n"] == 2
    assert values["rmse"] == pytest.approx(0.1)
    assert values["mae"] == pytest.approx(0.1)
    assert values["r2"] == pytest.approx(1 - 0.02 / 0.005)
    assert values["bias"] == pytest.approx(0.0)
    assert values["mse"] == pytest.approx((0.05 / 252) ** 2)
    assert values["qlike"] == pytest.approx(np.mean([9 / 4 - np.log(9 / 4) - 1, 4 / 9 - np.log(4 / 9) - 1]))
    assert values["qlike_on_squared_returns"] == pytest.approx(np.mean([np.log(0.04 / 252), np.log(0.09 / 252) + 1]))
    assert values["coverage"] == 0.5


def test_unrealised_rows_are_not_scored():
    frame = scored_forecasts({"a": 0.1})
    frame.loc[390:, "realized_variance"] = np.nan
    assert len(losses.with_losses(frame)) == 390


def test_one_sparse_model_deletes_no_day_for_the_others():
    frame = scored_forecasts({"a": 0.1, "b": 0.2, "c": 0.3})
    sparse = frame[~((frame["model"] == "c") & (frame["origin_date"] > frame["origin_date"].iloc[100]))]
    marked = losses.on_common_sample(losses.with_losses(sparse))
    table = losses.score_table(marked).set_index("model")
    assert table["n"].to_dict() == {"a": 400, "b": 400, "c": 101}
    assert not marked.loc[marked["model"] == "c", "complete"].any()


def test_a_missing_day_of_a_complete_model_is_left_out_for_all():
    frame = scored_forecasts({"a": 0.1, "b": 0.2})
    marked = losses.on_common_sample(losses.with_losses(frame.drop(index=[3])))
    assert losses.score_table(marked)["n"].tolist() == [399, 399]
    assert losses.score_table(frame.pipe(losses.with_losses).pipe(losses.on_common_sample))["n"].tolist() == [400, 400]


def test_a_newer_model_set_is_compared_on_the_days_that_most_models_have():
    frame = scored_forecasts({"a": 0.1, "b": 0.2, "c": 0.3})
    long_one = frame[(frame["model"] == "a") | (frame["origin_date"] > frame["origin_date"].iloc[200])]
    assert losses.score_table(losses.on_common_sample(losses.with_losses(long_one)))["n"].tolist() == [199] * 3


def test_scores_by_year_add_up():
    marked = losses.on_common_sample(losses.with_losses(scored_forecasts({"a": 0.1, "b": 0.2})))
    by_year = losses.score_table(marked.assign(year=marked["origin_date"].dt.year), by=("year",))
    assert by_year["year"].unique().tolist() == [2010, 2011]
    whole = losses.score_table(marked).set_index("model")["qlike"]
    again = (by_year["qlike"] * by_year["n"]).groupby(by_year["model"]).sum() / 400
    pd.testing.assert_series_equal(again, whole, check_names=False)


def test_regimes_are_known_at_the_origin():
    rng = np.random.default_rng(1)
    proxy = pd.Series(
        np.exp(np.cumsum(0.1 * rng.standard_normal(800))), index=pd.bdate_range("2010-01-04", periods=800)
    )
    whole = losses.volatility_regime(proxy)
    for cut in (300, 500, 777):
        pd.testing.assert_series_equal(losses.volatility_regime(proxy.iloc[:cut]), whole.iloc[:cut])
    assert whole.iloc[:251].isna().all()
    assert set(whole.dropna()) == set(losses.REGIMES)


def test_scores_by_regime():
    frame = scored_forecasts({"a": 0.1}, n=600)
    proxy = frame.set_index("origin_date")["realized_variance"]
    marked = losses.on_common_sample(losses.with_losses(frame))
    table = losses.score_table(marked.assign(regime=losses.volatility_regime(proxy).to_numpy()), by=("regime",))
    assert set(table["regime"]) == set(losses.REGIMES)
    assert table["n"].sum() == 600 - 251 - 21
