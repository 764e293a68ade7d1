"""A notebook's forecasts, scores and risk are those that a run stores, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import volassets as va
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import Settings, load_settings

KEY = ["ticker", "model", "horizon", "origin_date"]
RULES = {"minimum_history": 400, "pooled_boosting": {"trees": 10, "leaf_rows": 50}}
TOML = "minimum_history = 400\n[pooled_boosting]\ntrees = 10\nleaf_rows = 50\n"


def stored_home(place: Path, bars: dict[str, pd.DataFrame], models: tuple[str, ...], months: pd.DatetimeIndex) -> Path:
    """Run the pipeline's own executor over `months` into a home below `place`."""
    (place / "home").mkdir(parents=True)
    (place / "home" / "volassets.toml").write_text(TOML)
    for ticker, frame in bars.items():
        frame.to_csv(place / f"{ticker}.csv", date_format="%Y-%m-%d")
    values = {"source": "csv", "csv_dir": str(place), "tickers": tuple(bars), "models": models, "importance": "never"}
    settings: Settings = load_settings(place / "home", {**values, "jobs": 1}, environment={})
    places = {
        Scope.TICKER: [Partition(ticker) for ticker in bars],
        Scope.MONTH: [Partition("", month) for month in months],
        Scope.TICKER_MONTH: [Partition(ticker, month) for ticker in bars for month in months],
    }
    listed = [step for step in steps(settings) if step.scope in places]
    with Context(settings) as context:
        results = list(Executor(State(context)).run(listed, {step.name: places[step.scope] for step in listed}))
    assert not [item.failures for item in results if item.failures]
    return settings.home


def ordered(frame: pd.DataFrame, columns: list[str], key: list[str] = KEY) -> pd.DataFrame:
    rows = frame[columns].sort_values(key, ignore_index=True)
    dates = [name for name in columns if name.endswith("_date")]
    return rows.astype(dict.fromkeys(dates, "datetime64[ns]") | ({"horizon": "int64"} if "horizon" in columns else {}))


@pytest.fixture(scope="module")
def alone(tmp_path_factory, simulated_bars):
    """One ticker over 16 months: long enough for value at risk without in-sample residuals."""
    bars = {"AAA": simulated_bars(820, 3)}
    months = pd.date_range("2006-11-01", "2008-02-01", freq="MS")
    home = stored_home(tmp_path_factory.mktemp("alone"), bars, ("ewma", "log_har"), months)
    forecasts = va.walk_forward(
        bars["AAA"], ["log_har", "ewma"], "2006-11", "2008-02", ticker="AAA", settings=RULES, progress=False
    )
    return va.open(home), bars["AAA"], forecasts


def test_forecasts_are_the_stored_ones(alone):
    stored, _, forecasts = alone
    columns = [*KEY, "target_date", "variance", "volatility", "lower", "upper", "sessions_per_year"]
    assert len(forecasts) > 1500
    pd.testing.assert_frame_equal(
        ordered(forecasts, columns), ordered(stored.forecasts, columns), check_exact=True, check_dtype=False
    )


def test_the_feature_table_is_the_stored_one(alone):
    stored, bars, _ = alone
    table, rows = va.feature_table(bars, ticker="AAA"), stored.realized_vol_features.set_index("date")
    pd.testing.assert_frame_equal(table, rows[list(table)], check_exact=True, check_index_type=False, check_freq=False)


def test_the_comparison_is_the_stored_leaderboard(alone):
    stored, bars, forecasts = alone
    compared, board = va.compare(forecasts, bars, settings=RULES), stored.leaderboard
    columns = [name for name in compared if name in board]
    assert {"qlike", "mcs_p", "coverage_90", "n"} <= set(columns)
    key = ["model", "horizon"]
    pd.testing.assert_frame_equal(
        ordered(compared, columns, key), ordered(board, columns, key), check_exact=True, check_dtype=False
    )
    scores = va.score(forecasts, bars, settings=RULES)
    assert list(scores)[:7] == ["model", "horizon", "n", "qlike", "rmse", "mae", "r2"]
    both = scores.merge(board, on=key, suffixes=("", "_stored"))
    assert len(both) == 6
    assert (both["qlike"] == both["qlike_stored"]).all()


def test_risk_is_the_stored_one_once_the_residuals_are_the_forecasts_own(alone):
    stored, bars, forecasts = alone
    made, kept = va.risk(forecasts, bars, settings=RULES), stored.risk_forecasts
    key = [*KEY, "level", "tail"]
    columns = [*key, "target_date", "value_at_risk", "expected_shortfall", "method"]
    both = made[columns].merge(kept[columns], on=key, suffixes=("", "_stored"))
    assert len(both) == len(made) == len(kept)
    own = both[both["method_stored"] == "evt_conformal"]
    late = own[own["origin_date"] >= "2008-01-15"]
    assert set(late["horizon"]) == {1, 5, 22}
    assert (late["value_at_risk"] == late["value_at_risk_stored"]).all()
    assert (late["expected_shortfall"] == late["expected_shortfall_stored"]).all()
    first = made[made["origin_date"] < "2006-12-01"]
    assert first["value_at_risk"].isna().all()
    assert first["method"].str.endswith("too few residuals").all()


def test_what_follows_changes_no_forecast(alone):
    _, bars, forecasts = alone
    until = pd.Timestamp("2007-03-15")
    early = va.walk_forward(
        bars.loc[:until], ["ewma"], "2007-02", "2007-03", ticker="AAA", settings=RULES, progress=False
    )
    whole = forecasts[
        (forecasts["model"] == "ewma") & forecasts["origin_date"].between(early["origin_date"].min(), until)
    ]
    columns = [*KEY, "variance", "lower", "upper"]
    pd.testing.assert_frame_equal(ordered(early, columns), ordered(whole, columns), check_exact=True)


@pytest.mark.slow
def test_models_over_several_tickers_and_networks_are_the_stored_ones_too(tmp_path, simulated_bars):
    bars = {"AAA": simulated_bars(520, 0), "BBB": simulated_bars(520, 1)}
    models = ("gjr", "elastic_net", "pooled_ridge", "pooled_boosting")
    months = pd.date_range("2006-10-01", "2006-11-01", freq="MS")
    stored = va.open(stored_home(tmp_path, bars, models, months))
    made = va.walk_forward(bars, models, "2006-10", "2006-11", jobs=2, settings=RULES, progress=False)
    columns = [*KEY, "variance", "lower", "upper"]
    assert set(made["model"]) == set(models)
    pd.testing.assert_frame_equal(ordered(made, columns), ordered(stored.forecasts, columns), check_exact=True)
    fit = va.fit(bars["AAA"], "gjr", "2006-10", ticker="AAA", settings=RULES)
    row = stored.table("garch_fits", ticker="AAA", refit_month=months[0]).iloc[0]
    assert fit.log_likelihood == row["log_likelihood"]
