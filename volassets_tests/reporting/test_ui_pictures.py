"""What the assets show in the UI: pictures below 50 KB at the newest cell only, and column lineage."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from volassets.orchestration import metadata, pictures
from volassets.orchestration.inputs import Run
from volassets.reporting.figures import PNG_LIMIT
from volassets.settings import Settings
from volassets.warehouse.schema import tables
from volassets.warehouse.store import Warehouse
from volassets_tests.reporting.conftest import TICKER

EXPECTED = {
    "forecast_against_realised",
    "scatter",
    "qlike_by_month",
    "qlike_running_sum",
    "equity_and_weights",
}


@pytest.fixture(scope="module")
def run(settings: Settings, store: Warehouse) -> Run:
    return Run(settings)


def test_pictures_are_markdown_images_below_the_limit(run: Run) -> None:
    found = {
        **pictures.prices(run, TICKER),
        **pictures.selection(run, TICKER),
        **pictures.lags(run, TICKER),
        **pictures.comparison(run, TICKER),
    }
    assert {"price_and_volatility", "correlations", "kept_by_month", "lags"} | EXPECTED == set(found)
    for value in found.values():
        assert value.md_str.startswith("![^GSPC: ")
        assert "(data:image/png;base64," in value.md_str
        assert len(value.md_str) < PNG_LIMIT * 4 / 3 + 200


def test_nothing_to_draw_is_no_picture(run: Run) -> None:
    assert pictures.training(run, TICKER, "lstm") == {}
    assert pictures.lags(run, "^IXIC") == {}
    assert pictures.selection(run, "^IXIC") == {}


def test_only_the_newest_cell_of_a_ticker_has_pictures(run: Run) -> None:
    cells = {"2018-11-01|A": {"x": 1.0}, "2018-12-01|A": {"x": 2.0}, "2018-11-01|B": {"x": 3.0}}
    drawn: Any = pictures.with_newest(lambda *_: cells, lambda _, ticker: {"picture": dg.MetadataValue.md(ticker)})
    found = drawn(run, ["A", "B", "C"])
    assert {key for key, described in found.items() if "picture" in described} == {"2018-12-01|A", "2018-11-01|B"}
    assert cells["2018-12-01|A"] == {"x": 2.0}


def test_lineage_names_columns_that_exist(settings: Settings) -> None:
    declared = tables(settings)
    families = list(dict.fromkeys(model.family for model in settings.chosen_models.values()))
    cases = {
        "realized_vol_features": metadata.lineage("realized_vol_features"),
        "lag_analysis": metadata.lineage("lag_analysis"),
        "garch_forecasts": metadata.forecast_lineage(["garch_fits"]),
        "benchmark_forecasts": metadata.forecast_lineage([]),
        "leaderboard": metadata.score_lineage(families),
    }
    for table, described in cases.items():
        for column, sources in described["dagster/column_lineage"].deps_by_column.items():
            assert column in declared[table].column_names, (table, column)
            assert sources
            for source in sources:
                assert source.column_name in declared[source.asset_key.to_user_string()].column_names
