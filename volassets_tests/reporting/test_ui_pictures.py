"""What the assets show in the UI: pictures below 50 KB at the newest cell only, and column lineage."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pandas as pd
import pytest

from volassets.orchestration import metadata, pictures, small_charts
from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.partition_result import PartitionResult
from volassets.pipeline.report_pages import PAGES_AT_ONCE
from volassets.pipeline.state import State
from volassets.pipeline.step import Step
from volassets.pipeline.steps import graph_steps
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
def context(settings: Settings, store: Warehouse) -> Context:
    return Context(settings)


def test_pictures_are_markdown_images_below_the_limit(context: Context) -> None:
    found = {
        **pictures.prices(context, TICKER),
        **pictures.selection(context, TICKER),
        **pictures.lags(context, TICKER),
        **pictures.comparison(context, TICKER),
    }
    assert {"price_and_volatility", "correlations", "kept_by_month", "lags"} | EXPECTED == set(found)
    for value in found.values():
        assert value.md_str.startswith("![^GSPC: ")
        assert "(data:image/png;base64," in value.md_str
        assert len(value.md_str) < PNG_LIMIT * 4 / 3 + 200


def test_nothing_to_draw_is_no_picture(context: Context) -> None:
    assert pictures.training(context, TICKER, ["lstm"]) == {}
    assert pictures.lags(context, "^IXIC") == {}
    assert pictures.selection(context, "^IXIC") == {}


def _described(context: Context, places: list[Partition], with_pictures: bool) -> dict[Partition, dict[str, Any]]:
    step = _steps(context.settings)["lag_analysis"]
    items = [PartitionResult(step, place, computed=[""], rows=22) for place in places]
    return metadata.describe(State(context), step, items, with_pictures)


def _steps(settings: Settings) -> dict[str, Step]:
    return {step.name: step for step in graph_steps(settings)}


def test_only_the_newest_cell_of_a_ticker_has_pictures(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    november, december = pd.Timestamp("2018-11-01"), pd.Timestamp("2018-12-01")
    places = [Partition("A", november), Partition("A", december), Partition("B", november)]
    monkeypatch.setattr(pictures, "of_step", lambda _context, _step, ticker: {"picture": dg.MetadataValue.md(ticker)})
    found = _described(context, places, True)
    drawn = {place for place, described in found.items() if "picture" in described}
    assert drawn == {Partition("A", december), Partition("B", november)}
    assert all(described["dagster/row_count"] == 22 for described in found.values())
    assert not [described for described in _described(context, places, False).values() if "picture" in described]


def test_a_run_over_many_tickers_draws_nothing(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "of_step", lambda *_: {"picture": dg.MetadataValue.md("")})
    places = [Partition(f"T{number}", pd.Timestamp("2018-11-01")) for number in range(PAGES_AT_ONCE + 1)]
    assert all("picture" in described for described in _described(context, places[1:], True).values())
    assert not [described for described in _described(context, places, True).values() if "picture" in described]


def test_lineage_names_columns_that_exist(settings: Settings) -> None:
    declared = tables(settings)
    listed = _steps(settings)
    cases = (
        "realized_vol_features",
        "lag_analysis",
        "garch_forecasts",
        "benchmark_forecasts",
        "risk_forecasts",
        "comparison_reports",
    )
    for step in (listed[name] for name in cases):
        for column, sources in metadata.lineage(step)["dagster/column_lineage"].deps_by_column.items():
            assert column in declared[step.table].column_names, (step.table, column)
            assert sources
            for source in sources:
                assert source.column_name in declared[source.asset_key.to_user_string()].column_names


def test_a_table_of_scores_never_shows_a_p_value_as_zero() -> None:
    frame = pd.DataFrame({"model": ["a", "b"], "qlike": [0.123456, 0.2], "dm_p": [1e-9, float("nan")]})
    table = metadata.scores_table(frame)
    assert [record.data for record in table.records] == [
        {"model": "a", "qlike": 0.1235, "dm_p": "<.0001"},
        {"model": "b", "qlike": 0.2, "dm_p": ""},
    ]


def test_a_forecast_cell_shows_its_month_without_a_click(context: Context) -> None:
    places = [Partition(TICKER, pd.Timestamp(month)) for month in ("2018-11-01", "2018-12-01")]
    step = _steps(context.settings)["garch_forecasts"]
    items = [PartitionResult(step, place, computed=["gjr"], rows=60) for place in places]
    assert not [each for each in metadata.describe(State(context), step, items, False).values() if "month" in each]
    described = metadata.describe(State(context), step, items, True)
    texts = [described[place]["month"].md_str for place in places]
    assert texts[0].startswith("2018-11-01 to 2018-11-30, ")
    assert texts[1].startswith("2018-12-03 to 2018-12-31, ")
    # The UI folds what is longer.
    assert all(len(text) < 1000 and "![realised and gjr](data:image/svg+xml," in text for text in texts)


def test_a_comparison_shows_the_last_year_without_a_click(context: Context) -> None:
    charts = small_charts.of_partitions(
        State(context), _steps(context.settings)["comparison_reports"], [Partition(TICKER)]
    )
    text = charts[Partition(TICKER)]["last_year"].md_str
    assert text.startswith("2018-10-01 to 2018-12-31, ")
    assert len(text) < 1000
