"""Pooled models: bits, levels and leaks, on simulated tickers that differ in level, length and calendar of days."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from volassets.errors import InputError
from volassets.features.feature_table import build_features
from volassets.market.calendar import calendar_for
from volassets.models.fit_storage import encode_checkpoint, fit_from_row, fit_to_row, read_checkpoint
from volassets.models.linear import center_and_scale
from volassets.models.pool import DAYS, TickerPool, flat_inputs, pool_members, standardised
from volassets.models.pooled_boosting import PooledBoosting
from volassets.models.pooled_lstm import PooledLstm
from volassets.models.pooled_ridge import PooledRidge, ridge_path
from volassets.models.protocol import Fit, Window
from volassets.models.sequences import Inputs, Scaler
from volassets.models.window import make_window

MONTH = pd.Timestamp("2008-03-01")
HORIZONS = (1, 5, 22)
MODELS: tuple[TickerPool, ...] = (
    PooledRidge(folds=3),
    PooledBoosting(trees=20, leaf_rows=50),
    PooledLstm(epochs=1, seeds=2, device="cpu"),
)
by_name = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
Features = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def features(simulated_bars) -> Features:
    """Feature tables of three tickers: BBB starts later, CCC is three times as wild and misses days."""
    bars = {name: simulated_bars(900, seed) for seed, name in enumerate(("AAA", "BBB", "CCC"))}
    bars["BBB"] = bars["BBB"].iloc[250:]
    bars["CCC"] = bars["CCC"].drop(bars["CCC"].index[5::40])
    tables = {name: build_features(table, calendar_for(name)) for name, table in bars.items()}
    return {name: table.assign(**wild(table)) if name == "CCC" else table for name, table in tables.items()}


def wild(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the columns that change when every variance is nine times as large."""
    logs = ["log_proxy", "log_proxy_5", "log_proxy_22", "log_proxy_66", "log_gk", "log_gk_5"]
    daily = {"return": 3 * table["return"], "proxy_variance": 9 * table["proxy_variance"]}
    return daily | {name: table[name] + np.log(9) for name in logs}


def windows_of(features: Mapping[str, pd.DataFrame], horizons: tuple[int, ...] = HORIZONS) -> dict[str, Window]:
    return {name: make_window(name, MONTH, table, horizons) for name, table in features.items()}


@pytest.fixture(scope="module")
def fits(features: Features) -> dict[str, dict[str, Fit]]:
    return {model.name: model.fit_pool(windows_of(features)) for model in MODELS}


def origins_of(table: pd.DataFrame, before: int = 40, after: int = 10) -> pd.DatetimeIndex:
    first = table.index.searchsorted(MONTH) - 1
    return pd.DatetimeIndex(table.index[first - before : first + after])


def same(one: Mapping[str, Fit], other: Mapping[str, Fit]) -> bool:
    """Whether two months' fits have the same bits."""
    return one.keys() == other.keys() and all(
        one[name].parameters == other[name].parameters
        and one[name].tensors.keys() == other[name].tensors.keys()
        and all(np.array_equal(one[name].tensors[key], other[name].tensors[key]) for key in one[name].tensors)
        for name in one
    )


@by_name
def test_the_order_of_the_tickers_changes_no_bit(model: TickerPool, features: Features, fits) -> None:
    for order in (("CCC", "AAA", "BBB"), ("BBB", "CCC", "AAA")):
        assert same(model.fit_pool(windows_of({name: features[name] for name in order})), fits[model.name])


@by_name
def test_nothing_from_the_cut_off_on_changes_a_bit(model: TickerPool, features: Features, fits) -> None:
    """The future of all tickers together is noise, then that of one alone."""
    rng = np.random.default_rng(0)
    for changed in (tuple(features), ("BBB",)):
        noisy = {name: table.copy() for name, table in features.items()}
        for name in changed:
            noisy[name].loc[MONTH:] = rng.random(noisy[name].loc[MONTH:].shape)
        assert same(model.fit_pool(windows_of(noisy)), fits[model.name])


@by_name
def test_a_bar_before_the_cut_off_of_one_ticker_moves_the_fit_of_all(
    model: TickerPool, features: Features, fits
) -> None:
    moved = {**features, "BBB": features["BBB"].copy()}
    moved["BBB"].iloc[300:, moved["BBB"].columns.get_loc("return_z")] *= -1
    other = model.fit_pool(windows_of(moved))["AAA"]
    before = fits[model.name]["AAA"]
    assert other.parameters["level"] == before.parameters["level"]
    assert not same({"AAA": other}, {"AAA": before})


@by_name
def test_a_forecast_depends_on_its_origin_and_the_days_before_it(model: TickerPool, features: Features, fits) -> None:
    for name, table in features.items():
        fit, origins = fits[model.name][name], origins_of(table)
        whole = model.forecast(fit, table, origins)
        assert list(whole.columns) == list(HORIZONS)
        assert np.isfinite(whole.to_numpy()).all()
        assert (whole > 0).all(axis=None)
        assert (whole.diff().iloc[1:] != 0).all(axis=None)
        for at in (0, 41, 49):
            part = model.forecast(fit, table[: origins[at]], origins[[at]])
            pd.testing.assert_frame_equal(part, whole.iloc[[at]], check_exact=True, check_freq=False)
        assert model.forecast(fit, table, table.index[[5]]).isna().all(axis=None)


@by_name
def test_level_ratio_and_rows_are_each_tickers_own(model: TickerPool, features: Features, fits) -> None:
    for name, window in windows_of(features).items():
        fit = fits[model.name][name]
        alone = model.fit(window)
        assert (fit.ticker, fit.ratio, fit.n_train) == (name, window.ratio, alone.n_train)
        assert fit.parameters["level"] == alone.parameters["level"]
        assert fit.train_end < MONTH
        assert fit.parameters["pool"] == ["AAA", "BBB", "CCC"]
        anchored = window.target(1) / np.exp(window.features["log_proxy_22"])
        assert fit.parameters["level"][0] == pytest.approx(np.log(anchored.loc[fit.train_start :].mean()), rel=1e-9)
    levels = [np.exp(fits[model.name][name].parameters["level"][0]) for name in features]
    assert len(set(levels)) == 3


@pytest.mark.parametrize("model", MODELS[:2], ids=lambda model: model.name)
def test_smearing_makes_each_tickers_mean_ratio_one_on_its_training_rows(model, features: Features, fits) -> None:
    for name, window in windows_of(features).items():
        fit = fits[model.name][name]
        rows = window.features.loc[fit.train_start : fit.train_end]
        forecasts = model.forecast(fit, window.features, pd.DatetimeIndex(rows.index))
        for horizon in HORIZONS:
            ratio = window.target(horizon).loc[rows.index] / forecasts[horizon]
            assert ratio.mean() == pytest.approx(1.0, abs=1e-4)
        assert fit.parameters["smearing"] != fit.parameters["pool_smearing"]


@by_name
def test_the_scaler_is_of_the_pools_training_rows(model: TickerPool, features: Features, fits) -> None:
    members = pool_members(model.name, windows_of(features), DAYS, 10**6)
    assert [member.window.ticker for member in members] == ["AAA", "BBB", "CCC"]
    assert all(member.dates[-1] < MONTH for member in members)
    assert sum(len(member.rows) for member in members) == sum(fit.n_train for fit in fits[model.name].values())
    parameters = fits[model.name]["BBB"].parameters
    if isinstance(model, PooledLstm):
        scaler = Scaler.of(Inputs.joined([member.inputs for member in members]))
        assert parameters["scaler"] == scaler.to_parameters()
        assert parameters["scaler"] != Scaler.of(members[1].inputs).to_parameters()
    else:
        center, scale = center_and_scale(np.concatenate([flat_inputs(member.inputs) for member in members]))
        assert (parameters["center"], parameters["scale"]) == (center.tolist(), scale.tolist())
        assert len(center) == 17 + 22


@by_name
def test_a_short_history_is_forecast_from_the_pools_estimates(model: TickerPool, features: Features, fits) -> None:
    table = features["CCC"]
    cut = table.index.searchsorted(MONTH)
    young = listed_late(table, cut, 90)
    pool = model.fit_pool(windows_of({name: features[name] for name in ("AAA", "BBB")}))
    window = make_window("CCC", MONTH, young, HORIZONS)
    fit = model.fit_outside(pool["AAA"], window)
    assert same({"": fit}, {"": model.fit_outside(pool["BBB"], window)})
    assert (fit.ticker, fit.ratio, fit.parameters["pool"]) == ("CCC", window.ratio, ["AAA", "BBB"])
    assert fit.n_train < 90
    assert all(np.array_equal(fit.tensors[name], array) for name, array in pool["AAA"].tensors.items())
    own = {"level", "smearing"}
    assert {key: value for key, value in fit.parameters.items() if key not in own} == {
        key: value for key, value in pool["AAA"].parameters.items() if key not in own
    }
    anchored = window.target(22) / np.exp(window.features["log_proxy_22"])
    assert fit.parameters["level"][2] == pytest.approx(np.log(anchored.mean()), rel=1e-9)
    origins = origins_of(young, before=0)
    forecasts = model.forecast(fit, young, origins)
    assert np.isfinite(forecasts.to_numpy()).all()
    # Nine times the variance of the pool's members, of which only its anchor and level know.
    usual = model.forecast(pool["AAA"], features["AAA"], origins_of(features["AAA"]))
    assert forecasts[22].mean() > 3 * usual[22].mean()
    later = young.copy()
    later.loc[MONTH:] = 7.0
    assert same({"": model.fit_outside(pool["AAA"], make_window("CCC", MONTH, later, HORIZONS))}, {"": fit})


def listed_late(table: pd.DataFrame, cut: int, rows: int) -> pd.DataFrame:
    """Return the table from `rows` days before row `cut` on, with the warm-up that a listing on that day has."""
    young = table.iloc[cut - rows :].copy()
    young.iloc[:22, young.columns != "proxy_variance"] = np.nan
    return young


@by_name
def test_a_ticker_with_too_few_days_is_refused_outside_and_leaves_the_pool_to_the_others(
    model: TickerPool, features: Features, fits
) -> None:
    cut = features["CCC"].index.searchsorted(MONTH)
    short = {**features, "DDD": features["CCC"].iloc[cut - 60 :]}
    windows = windows_of(short)
    assert "DDD" not in model.fit_pool(windows)
    young = make_window("DDD", MONTH, features["CCC"].iloc[cut - 15 :], HORIZONS)
    with pytest.raises(InputError, match=r"DDD has \d+ labelled days before 2008-03-01"):
        model.fit_outside(fits[model.name]["AAA"], young)
    with pytest.raises(InputError, match=r"no ticker of the pool \(DDD\) has 100 usable rows"):
        model.fit_pool({"DDD": windows["DDD"]})


@by_name
def test_a_fit_comes_back_from_its_row_and_the_shared_tensors(model: TickerPool, features: Features, fits) -> None:
    fit = fits[model.name]["CCC"]
    tensors: Mapping[str, np.ndarray] = {}
    if fit.tensors:
        content = encode_checkpoint(fits[model.name]["AAA"], "abc", model.code_version)
        tensors = read_checkpoint("memory", "abc", read=lambda _place: content).tensors
    back = dataclasses.replace(fit_from_row(fit_to_row(fit, 0.1, "", "0" * 16, "1")), tensors=tensors)
    origins = origins_of(features["CCC"])
    expected = model.forecast(fit, features["CCC"], origins)
    pd.testing.assert_frame_equal(model.forecast(back, features["CCC"], origins), expected, check_exact=True)


def test_ridge_is_scikit_learns(features: Features) -> None:
    members = pool_members("pooled_ridge", windows_of(features), DAYS, 10**6)
    flat = np.concatenate([flat_inputs(member.inputs) for member in members])
    inputs = standardised(flat, *center_and_scale(flat))
    label = np.concatenate([member.labels.log_ratio[0] for member in members])
    centred = inputs - inputs.mean(axis=0)
    slopes = ridge_path(centred.T @ centred, centred.T @ (label - label.mean()), np.array([20.0, 500.0]))
    for column, penalty in enumerate((20.0, 500.0)):
        np.testing.assert_allclose(
            slopes[:, column], Ridge(alpha=penalty).fit(inputs, label).coef_, rtol=1e-6, atol=1e-9
        )


def test_the_penalty_is_that_of_the_smallest_error_on_later_blocks(features: Features) -> None:
    model = PooledRidge(folds=3, penalties=4, smallest_penalty=1.0, largest_penalty=1000.0)
    windows = windows_of(features)
    members = pool_members(model.name, windows, DAYS, 10**6)
    flat = np.concatenate([flat_inputs(member.inputs) for member in members])
    inputs = standardised(flat, *center_and_scale(flat))
    fit = model.fit_pool(windows)["AAA"]
    days = np.concatenate([member.dates.to_numpy() for member in members])
    for number, horizon in enumerate(HORIZONS):
        label = np.concatenate([member.labels.log_ratio[number] for member in members])
        known = np.concatenate([member.labels.realised[number] for member in members]) > 0
        ends = np.concatenate([member.label_ends(horizon) for member in members])
        errors = {}
        for penalty in (1.0, 10.0, 100.0, 1000.0):
            losses = []
            for block in np.array_split(np.unique(days[known]), 4)[1:]:
                past, now = known & (ends <= block[0]), known & (days >= block[0]) & (days <= block[-1])
                ridge = Ridge(alpha=penalty).fit(inputs[past], label[past])
                losses.append(((label[now] - ridge.predict(inputs[now])) ** 2).mean())
            errors[penalty] = np.mean(losses)
        chosen = fit.parameters["equations"][str(horizon)]
        assert chosen["penalty"] == pytest.approx(min(errors, key=errors.__getitem__))
        ridge = Ridge(alpha=chosen["penalty"]).fit(inputs[known], label[known])
        np.testing.assert_allclose(chosen["slopes"], ridge.coef_, rtol=1e-5, atol=1e-8)
        assert chosen["intercept"] == pytest.approx(ridge.intercept_)


def test_trees_forecast_what_scikit_learns_do() -> None:
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((3000, 6))
    label = np.where(inputs[:, 0] > 0.3, 1.0, -0.5) + inputs[:, 1] ** 2 + rng.standard_normal(3000)
    model = PooledBoosting(trees=40, leaves=6, leaf_rows=30)
    equation, arrays = model.estimate(inputs, label, inputs[:, 0], inputs[:, 0], seed=5)
    with threadpool_limits(1):
        plain = HistGradientBoostingRegressor(
            max_iter=40, max_leaf_nodes=6, learning_rate=0.05, min_samples_leaf=30, early_stopping=False, random_state=5
        ).fit(inputs, label)
    np.testing.assert_array_equal(model.predict(equation, arrays, inputs), plain.predict(inputs))
    np.testing.assert_array_equal(model.predict(equation, arrays, inputs[7:8]), plain.predict(inputs[7:8]))


def test_trees_without_a_split_forecast_the_mean() -> None:
    model = PooledBoosting(trees=3)
    inputs, label = np.random.default_rng(2).standard_normal((150, 4)), np.arange(150.0)
    equation, arrays = model.estimate(inputs, label, label, label, seed=0)
    np.testing.assert_allclose(model.predict(equation, arrays, inputs), 74.5)


def test_equal_weight_per_row_changes_the_network_and_not_the_level(features: Features, fits) -> None:
    even = dataclasses.replace(MODELS[2], weighting="row").fit_pool(windows_of(features))
    plain = fits["pooled_lstm"]
    assert even["BBB"].parameters == plain["BBB"].parameters
    assert not np.array_equal(even["BBB"].tensors["recurrent"], plain["BBB"].tensors["recurrent"])
    twins = dict.fromkeys(("AAA", "BBB"), features["AAA"])
    models = (MODELS[2], dataclasses.replace(MODELS[2], weighting="row"))
    one, other = (model.fit_pool(windows_of(twins)) for model in models)
    assert same(one, other)


@by_name
def test_rows_beyond_the_cap_are_sampled_evenly_and_the_same_every_time(model: TickerPool, features: Features) -> None:
    capped = dataclasses.replace(model, maximum_rows=1000)
    windows = windows_of({name: features[name] for name in ("AAA", "CCC")})
    fits = capped.fit_pool(windows)
    assert {fit.n_train for fit in fits.values()} == {500}
    assert same(capped.fit_pool(windows), fits)
    members = pool_members(model.name, windows, DAYS, 1000)
    assert all((np.diff(member.rows) > 0).all() for member in members)
    assert members[0].dates[0] < members[0].dates[-1] - pd.Timedelta(days=600)


def test_other_tickers_do_not_enter_the_seed(features: Features) -> None:
    model = MODELS[2]
    pools = [pool_members(model.name, windows_of(part), DAYS, 10**6) for part in (features, {"AAA": features["AAA"]})]
    assert model.pool_seed(pools[0]) == model.pool_seed(pools[1])
    assert len({model.pool_seed(pools[0], number) for number in range(5)}) == 5
