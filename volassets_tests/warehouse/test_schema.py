"""The declaration against the contract, and the views against independent numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from volassets.features.targets import proxy_ratio, target
from volassets.models.registry import families
from volassets.settings import Settings
from volassets.warehouse.declarations import TYPES
from volassets.warehouse.migration import Schema
from volassets.warehouse.store import Replacement, Warehouse, open_warehouse
from volassets_tests.warehouse.frames import cells, fit_rows, forecast_rows, price_rows, write_features

CONTRACT = {
    "raw_prices": "ticker date open high low close adj_close volume source fetched_at",
    "realized_vol_features": "ticker date proxy_variance return ratio",
    "lag_analysis": "ticker refit_month lag pacf bound stable_blocks selected",
    "selected_features": "ticker refit_month feature selected reason correlated_with abs_correlation center scale",
    "fits": "ticker refit_month model train_start train_end n_train parameters log_likelihood converged message "
    "seconds checkpoint data_hash code_version",
    "forecasts": "ticker refit_month model origin_date target_date horizon variance volatility lower upper data_hash",
    "training_history": "ticker refit_month model seed epoch train_loss validation_loss learning_rate",
    "validation_scores": "ticker refit_month model horizon n rmse mae r2 qlike",
    "realized": "ticker origin_date target_date horizon proxy_variance squared_return ratio suspect",
    "suspect_days": "ticker date",
    "forecast_losses": "ticker model horizon origin_date target_date variance realized_variance qlike squared_error",
    "leaderboard": "ticker model horizon n qlike qlike_vs_gjr rmse mae r2 mz_intercept mz_slope dm_vs_gjr dm_p mcs_p "
    "coverage_90 n_common bias qlike_on_squared_returns",
    "model_comparisons": "ticker horizon loss model_a model_b dm p_value n",
    "backtests": "ticker strategy smoothing sharpe_gross sharpe_net sharpe_low sharpe_high annual_return "
    "annual_volatility tracking_error max_drawdown turnover utility",
    "value_at_risk": "ticker model level n violations kupiec_p christoffersen_p violation_rate conditional_coverage_p",
    "value_at_risk_0_1": "ticker model level n violations kupiec_p christoffersen_p",
    "risk_forecasts": "ticker refit_month model horizon level tail origin_date target_date value_at_risk "
    "expected_shortfall method data_hash",
    "latest_risk": "ticker refit_month model horizon level tail origin_date target_date value_at_risk "
    "expected_shortfall method",
    "risk_backtests": "ticker model horizon level tail n violations violation_rate kupiec_p christoffersen_p "
    "conditional_coverage_p es_test es_p quantile_score fz_loss dm_fz_p traffic_light",
    "issued_forecasts": "issued_at ticker model horizon origin_date target_date variance volatility lower upper "
    "code_version bars_hash",
    "issued_risk": "issued_at ticker model horizon level tail origin_date target_date value_at_risk expected_shortfall "
    "code_version bars_hash",
    "feature_importance": "ticker refit_month model feature delta_qlike std_error",
    "headline_models": "ticker model origin_date qlike n",
    "latest_forecasts": "ticker model horizon origin_date target_date volatility lower upper headline old "
    "target_date_assumed",
    "price_revisions": "ticker date column old new seen_at",
    "attention": "ticker refit_month model lag_days weight",
    "data_quality": "ticker check_name severity message n_rows",
    "scores": "ticker model horizon slice_kind slice target n qlike mse rmse mae r2 bias",
    "backtest_paths": "ticker strategy smoothing date weight net_return equity",
    "verdicts": "ticker horizon text",
    "schema_version": "version",
}


@pytest.fixture
def schema(settings_for: Callable[..., Settings]) -> Schema:
    return Schema(settings_for())


def test_the_contract_is_declared(schema: Schema) -> None:
    for name, columns in CONTRACT.items():
        assert set(columns.split()) <= set(schema.relations[name].column_names), name
    for family in families():
        assert f"{family}_forecasts" in schema.tables
    # `correlation_fits` are of no model.
    of_models = [name for name, table in schema.tables.items() if name.endswith("_fits") and "model" in table.cell]
    stored = {name.removesuffix("_fits") for name in of_models}
    assert stored == set(families(stored_fits=True)) == set(families()) - {"benchmark", "combined"}
    assert len(schema.tables["realized_vol_features"].columns) >= 45


def test_every_declaration_is_whole(schema: Schema) -> None:
    for relation in schema.relations.values():
        assert relation.comment.endswith("."), relation.name
        assert len(set(relation.column_names)) == len(relation.columns)
        assert set(relation.key) <= set(relation.column_names)
        for column in relation.columns:
            assert column.comment, (relation.name, column.name)
            assert column.type in TYPES
    for table in schema.tables.values():
        assert set(table.cell) <= set(table.key)
        assert not any(table.column(name).nullable for name in table.key)
    for view in schema.views.values():
        assert set(view.needs) <= set(schema.relations)


def test_views_have_the_columns_and_types_that_they_declare(warehouse: Warehouse) -> None:
    for view in warehouse.schema.views.values():
        found = warehouse.query(f"DESCRIBE {view.name}")
        assert list(zip(found["column_name"], found["column_type"], strict=True)) == [
            (column.name, column.type) for column in view.columns
        ], view.name


def test_every_relation_and_column_is_commented_in_the_database(warehouse: Warehouse) -> None:
    columns = warehouse.query("SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal")
    assert columns["comment"].notna().all()
    assert set(columns["table_name"]) == set(warehouse.schema.relations)


def test_other_settings_declare_other_lags_and_horizons(settings_for: Callable[..., Settings]) -> None:
    schema = Schema(settings_for(lags=(1, 3), horizons=(1, 2)))
    assert schema.fingerprint != Schema(settings_for()).fingerprint
    warehouse = open_warehouse(settings_for(lags=(1, 3), horizons=(1, 2)))
    assert warehouse.read("realized").empty


def test_realized_is_the_target_of_the_models(
    warehouse: Warehouse, settings: Settings, sp500_bars: pd.DataFrame
) -> None:
    rows = write_features(warehouse, settings, "^GSPC", sp500_bars["2015-01":"2016-06"]).set_index("date")
    write_features(warehouse, settings, "A", sp500_bars["2015-03":"2016-06"])
    stored = warehouse.read("realized", ticker="^GSPC")
    for horizon in (1, 5, 22):
        found = stored[stored["horizon"] == horizon].set_index("origin_date")
        # No proxy on the first bar, and none realised for the last h origins.
        assert found.index.tolist() == rows.index[:-horizon].tolist()
        assert (found["target_date"].to_numpy() == rows.index[1 : len(found) + 1].to_numpy()).all()
        origin = pd.Timestamp("2016-03-10")
        ratio = proxy_ratio(rows["return"], rows["proxy_variance"], pd.Timestamp("2016-03-01"))
        expected = target(rows["proxy_variance"], horizon, ratio)[origin]
        assert found.loc[origin, "proxy_variance"] == pytest.approx(expected, rel=1e-12)
        assert found.loc[origin, "ratio"] == pytest.approx(ratio, rel=1e-12)
        ahead = rows["return"].loc[rows.index > origin].iloc[:horizon]
        assert found.loc[origin, "squared_return"] == pytest.approx((ahead**2).mean(), rel=1e-12)


def test_the_last_origin_of_a_month_is_scaled_by_the_next_month(
    warehouse: Warehouse, settings: Settings, sp500_bars: pd.DataFrame
) -> None:
    rows = write_features(warehouse, settings, "^GSPC", sp500_bars["2015-01":"2015-06"]).set_index("date")
    found = warehouse.read("realized", ticker="^GSPC", origin_date=pd.Timestamp("2015-04-30"), horizon=1)
    assert found["ratio"].iloc[0] == rows.loc["2015-05-01", "ratio"]


def test_losses_of_a_suspect_day_are_left_out(
    warehouse: Warehouse, settings: Settings, sp500_bars: pd.DataFrame
) -> None:
    rows = write_features(warehouse, settings, "^GSPC", sp500_bars["2015-01":"2015-06"])
    dates = rows["date"].iloc[-5:].to_numpy()
    wrong = pd.DataFrame({"ticker": ["^GSPC"], "date": [dates[2]]})
    warehouse.write(Replacement("suspect_days", wrong, cells(wrong, "ticker")))
    forecasts = forecast_rows(month="2015-06-01", n=4, value=2e-4).assign(origin_date=dates[:-1], target_date=dates[1:])
    warehouse.write(Replacement("garch_forecasts", forecasts, cells(forecasts)))
    # The outcome of the second origin is the suspect day's.
    assert warehouse.read("forecast_losses")["origin_date"].tolist() == [*dates[:1], *dates[2:4]]


def test_losses_join_what_was_forecast_with_what_came(
    warehouse: Warehouse, settings: Settings, sp500_bars: pd.DataFrame
) -> None:
    rows = write_features(warehouse, settings, "^GSPC", sp500_bars["2015-01":"2015-06"])
    dates = rows["date"].iloc[-4:]
    forecasts = forecast_rows(month="2015-06-01", n=4, value=2e-4).assign(
        origin_date=dates.to_numpy(), target_date=[*dates[1:], pd.Timestamp("2015-07-01")]
    )
    warehouse.write(Replacement("garch_forecasts", forecasts, cells(forecasts)))
    losses = warehouse.read("forecast_losses")
    assert len(losses) == 3
    y = warehouse.read("realized", horizon=1).set_index("origin_date").loc[losses["origin_date"], "proxy_variance"]
    np.testing.assert_array_equal(losses["realized_variance"], y)
    ratio = y.to_numpy() / 2e-4
    np.testing.assert_allclose(losses["qlike"], ratio - np.log(ratio) - 1, rtol=1e-12)
    np.testing.assert_allclose(losses["squared_error"], (2e-4 - y.to_numpy()) ** 2, rtol=1e-12)


def test_a_realised_variance_of_zero_has_no_qlike(
    warehouse: Warehouse, settings: Settings, sp500_bars: pd.DataFrame
) -> None:
    rows = write_features(warehouse, settings, "A", sp500_bars["2015-01":"2015-03"])
    warehouse.write(Replacement("realized_vol_features", rows.assign(proxy_variance=0.0), cells(rows, "ticker")))
    forecasts = forecast_rows("A", n=1).assign(origin_date=rows["date"].iloc[-2], target_date=rows["date"].iloc[-1])
    warehouse.write(Replacement("garch_forecasts", forecasts, cells(forecasts)))
    assert warehouse.read("forecast_losses")["qlike"].isna().all()


def test_latest_forecasts_are_those_of_the_newest_origin_with_the_default_first(warehouse: Warehouse) -> None:
    frames = {
        "garch_forecasts": [
            forecast_rows(model="gjr", n=9),
            forecast_rows("A", n=3),
            forecast_rows("A", model="egarch", n=2),
        ],
        "combined_forecasts": [forecast_rows(model="combination", n=9)],
    }
    for table, parts in frames.items():
        frame = pd.concat(parts)
        warehouse.write(Replacement(table, frame, cells(frame)))
    latest = warehouse.read("latest_forecasts")
    assert latest[["ticker", "model"]].to_numpy().tolist() == [["A", "gjr"], ["^GSPC", "combination"], ["^GSPC", "gjr"]]
    assert warehouse.read("latest_forecasts", model="egarch").empty
    assert warehouse.read("latest_forecasts", ticker="A")["origin_date"].tolist() == [pd.Timestamp("2016-01-05")]


def test_fits_name_their_family(warehouse: Warehouse) -> None:
    for family, model in (("garch", "gjr"), ("linear", "har")):
        warehouse.write(Replacement(f"{family}_fits", fit_rows(model=model), cells(fit_rows(model=model))))
    assert dict(warehouse.read("fits")[["model", "family"]].to_numpy().tolist()) == {"gjr": "garch", "har": "linear"}


def test_a_target_date_is_the_next_stored_bar(warehouse: Warehouse) -> None:
    """A holiday that the calendar did not know, and a special Saturday; the last origin keeps the calendar's day."""
    days = pd.DatetimeIndex(["2019-05-29", "2019-05-30", "2019-06-09", "2019-06-15"])
    given = pd.DatetimeIndex(["2019-05-30", "2019-06-02", "2019-06-10", "2019-06-16"])
    prices = price_rows("X").assign(date=days)
    warehouse.write(Replacement("raw_prices", prices, cells(prices, "ticker")))
    rows = forecast_rows("X", month="2019-06-01", n=4).assign(origin_date=days, target_date=given)
    warehouse.write(Replacement("garch_forecasts", rows, cells(rows, "ticker", "refit_month", "model")))
    for name in ("forecasts", "latest_forecasts"):
        found = warehouse.read(name).set_index("origin_date")["target_date"].sort_index()
        expected = pd.Series([*days[1:], given[-1]], index=days)
        assert (found == expected.loc[found.index]).all()
        assert len(found) == (4 if name == "forecasts" else 1)
