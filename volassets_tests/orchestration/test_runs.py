"""What runs of the graph record: exactly the cells that are right, also where others fail or have nothing to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, time

import dagster as dg
import pandas as pd
import pytest

from volassets.definitions import build_definitions
from volassets.market.calendar import calendar_for
from volassets.market.price_source import make_source
from volassets.models.garch import Garch
from volassets.orchestration.instance import open_instance
from volassets.orchestration.jobs import RANGE_END_TAG, RANGE_START_TAG, run_config
from volassets.orchestration.materializations import DATA_VERSION
from volassets.orchestration.runner import QUIET, Request, Result, Runner
from volassets.pipeline.cells import Partition
from volassets.settings import Settings
from volassets.timing import months_between, refit_month
from volassets.warehouse.store import open_warehouse

OCTOBER, NOVEMBER, DECEMBER = months_between(pd.Timestamp("2006-10-01"), pd.Timestamp("2006-12-01"))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in this process: workers are others, which know nothing of what a test breaks."""

    def run_jobs(jobs: Iterator, function: Callable, _workers: int) -> Iterator:
        for job in jobs:
            yield job, function(job)

    monkeypatch.setattr("volassets.pipeline.executor.run_jobs", run_jobs)
    monkeypatch.setattr("volassets.pipeline.report_pages.run_jobs", run_jobs)


@pytest.fixture
def settings(write_csv: Callable, csv_settings: Callable[..., Settings], simulated_bars: Callable) -> Settings:
    """Two tickers with bars to December 2006 and January 2007."""
    for seed, ticker in enumerate(("AAA", "BBB")):
        write_csv(ticker, simulated_bars(525, seed))
    return csv_settings("AAA", "BBB")


def _materialize(
    settings: Settings,
    instance: dg.DagsterInstance,
    selection: Sequence[str],
    first: str,
    last: str,
    options: dict | None = None,
) -> dg.ExecuteInProcessResult:
    """Run a range, as the UI does."""
    job = build_definitions(settings).get_repository_def().get_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(name) for name in selection],
        tags={RANGE_START_TAG: first, RANGE_END_TAG: last},
        run_config={**QUIET, **(options or {})},
        raise_on_error=False,
    )


def _recorded_by(result: dg.ExecuteInProcessResult, asset: str) -> set[str]:
    events = result.get_asset_materialization_events()
    return {str(event.partition) for event in events if event.asset_key == dg.AssetKey(asset)}


def _keys(*places: tuple[str, pd.Timestamp]) -> set[str]:
    return {Partition(*place).key for place in places}


def _break(monkeypatch: pytest.MonkeyPatch, *bad: tuple[str, pd.Timestamp]) -> None:
    fit = Garch.fit

    def fail_some(self: Garch, window):  # type: ignore[no-untyped-def]
        if (window.ticker, window.month) in bad:
            raise RuntimeError("broken on purpose")
        return fit(self, window)

    monkeypatch.setattr(Garch, "fit", fail_some)


@pytest.mark.usefixtures("here")
def test_a_failing_range_leaves_exactly_the_failed_cells_without_a_newer_record(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _materialize(settings, instance, ["raw_prices", "realized_vol_features"], "AAA", "BBB").success
    grid = ["lag_analysis", "selected_features", "benchmark_forecasts", "garch_fits", "garch_forecasts"]
    first, last = Partition("AAA", OCTOBER).key, Partition("BBB", DECEMBER).key
    whole = _keys(*((ticker, month) for ticker in ("AAA", "BBB") for month in (OCTOBER, NOVEMBER, DECEMBER)))
    assert _materialize(settings, instance, grid, first, last).success
    before = {name: instance.get_latest_materialization_event(dg.AssetKey(name)) for name in grid}
    assert all(event is not None for event in before.values())

    failed = _keys(("AAA", NOVEMBER), ("BBB", DECEMBER))
    _break(monkeypatch, ("AAA", NOVEMBER), ("BBB", DECEMBER))
    monkeypatch.setattr(Garch, "code_version", "next")
    result = _materialize(settings, instance, grid, first, last)
    assert not result.success
    text = str(result.failure_data_for_node("refit_months_assets"))
    assert "AAA 2006-11" in text
    assert "BBB 2006-12" in text
    for name in grid:
        # The forecasts of a failed fit fail with it; nothing else does.
        bad = failed if name in ("garch_fits", "garch_forecasts") else set()
        assert _recorded_by(result, name) == whole - bad, name
    newest = instance.event_log_storage.get_latest_storage_id_by_partition(
        dg.AssetKey("garch_fits"), dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    event = before["garch_fits"]
    assert event is not None
    records = instance.fetch_materializations(dg.AssetKey("garch_fits"), limit=100).records
    old = max(record.storage_id for record in records if record.run_id == event.run_id)
    assert {key for key, number in newest.items() if number <= old} == failed
    versions = instance.event_log_storage.get_latest_tags_by_partition(
        dg.AssetKey("garch_fits"), dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION]
    )
    stored = open_warehouse(settings).query("SELECT ticker, refit_month, data_hash FROM garch_fits")
    cells = {Partition(r.ticker, pd.Timestamp(r.refit_month)).key: r.data_hash for r in stored.itertuples()}
    assert {key: tags[DATA_VERSION] for key, tags in versions.items()} == cells


@pytest.mark.usefixtures("here")
def test_a_failing_run_records_what_is_right_in_its_range_beside_its_own_cells(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _materialize(settings, instance, ["raw_prices", "realized_vol_features"], "AAA", "BBB").success
    first, last = Partition("AAA", OCTOBER).key, Partition("BBB", DECEMBER).key
    assert _materialize(settings, instance, ["garch_fits"], Partition("BBB", OCTOBER).key, last).success
    _break(monkeypatch, ("AAA", OCTOBER))
    options = run_config("refit_months", [Partition("AAA", OCTOBER), Partition("BBB", DECEMBER)])
    result = _materialize(settings, instance, ["garch_fits"], first, last, options)
    assert not result.success
    # The other two months of AAA were not asked for and are not stored: nobody may take them for done.
    assert _recorded_by(result, "garch_fits") == _keys(*(("BBB", month) for month in (OCTOBER, NOVEMBER, DECEMBER)))


def test_importance_outside_january_is_recorded_as_nothing_to_compute(
    csv_settings: Callable[..., Settings], settings: Settings, instance: dg.DagsterInstance
) -> None:
    settings = csv_settings("AAA", "BBB", models=("naive", "lstm"))
    assert _materialize(settings, instance, ["raw_prices", "realized_vol_features"], "AAA", "BBB").success
    key = Partition("AAA", NOVEMBER).key
    result = _materialize(settings, instance, ["feature_importance"], key, key)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    assert (event.asset_key, event.partition) == (dg.AssetKey("feature_importance"), key)
    metadata = event.materialization.metadata
    assert metadata["dagster/row_count"].value == 0
    assert "January only" in str(metadata["nothing_to_compute"].value)
    assert open_warehouse(settings).read("feature_importance").empty


@pytest.mark.slow
def test_a_partition_shows_its_own_numbers_and_the_newest_comes_last(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    assert _materialize(settings, instance, ["raw_prices", "realized_vol_features"], "AAA", "BBB").success
    grid = ["lag_analysis", "selected_features", "benchmark_forecasts", "garch_fits", "garch_forecasts"]
    first, last = Partition("AAA", OCTOBER).key, Partition("BBB", NOVEMBER).key
    result = _materialize(settings, instance, grid, first, last)
    assert result.success
    store = open_warehouse(settings)
    events = [event.materialization for event in result.get_asset_materialization_events()]
    for name in grid:
        months = [str(event.partition)[:7] for event in events if event.asset_key == dg.AssetKey(name)]
        assert months == sorted(months)
        assert len(months) == 4
    for event in events:
        month, ticker = str(event.partition).split("|")
        name = event.asset_key.path[-1]
        count = f"SELECT count(*) AS n FROM {name} WHERE ticker = '{ticker}' AND refit_month = DATE '{month}'"
        assert event.metadata["dagster/row_count"].value == store.query(count)["n"].item()
        if name not in ("garch_fits", "garch_forecasts"):
            continue
        assert event.metadata["state"].value == "computed garch"
        (record,) = event.metadata["models"].records
        if name == "garch_fits":
            (fit,) = store.read(name, ticker=ticker, refit_month=pd.Timestamp(month)).to_dict("records")
            assert record.data["converged"] is bool(fit["converged"])
            assert f"alpha {json.loads(fit['parameters'])['alpha']:.4g}" in record.data["parameters"]
            assert event.metadata["not_converged"].value == int(not fit["converged"])
        else:
            scored = (
                f"SELECT avg(qlike) AS q, count(*) AS n FROM forecast_losses WHERE ticker = '{ticker}' AND model = "
            )
            scored += f"'garch' AND horizon = 1 AND date_trunc('month', target_date) = DATE '{month}'"
            (row,) = store.query(scored).to_dict("records")
            assert event.metadata["qlike"].value == pytest.approx(row["q"], abs=1e-4)
            assert record.data == {"model": "garch", "qlike": pytest.approx(row["q"], abs=1e-4), "outcomes": row["n"]}

    again = _materialize(settings, instance, grid, first, last)
    for event in again.get_asset_materialization_events():
        named = event.materialization.metadata
        assert named["state"].value == "unchanged; `force` computes it again"
        assert named["dagster/row_count"].value > 0


def _run(settings: Settings, *models: str, to: pd.Timestamp = OCTOBER) -> Result:
    request = Request(["AAA", "BBB"], OCTOBER, to, models=models or None)
    runner = Runner(settings, make_source(settings), lambda _line: None)
    return runner.run(runner.prepare(request), request, lambda _step: None)


@pytest.mark.slow
def test_models_of_one_run_do_not_shrink_the_comparison(settings: Settings) -> None:
    assert not _run(settings).failures
    store = open_warehouse(settings)
    assert set(store.read("leaderboard")["model"]) == {"naive", "garch"}
    # One more month of one model, and then a model that is not the home's own.
    for models, to, expected in (
        (("naive",), NOVEMBER, {"naive", "garch"}),
        (("ewma",), OCTOBER, {"naive", "garch", "ewma"}),
        (("garch",), OCTOBER, {"naive", "garch", "ewma"}),
    ):
        assert not _run(settings, *models, to=to).failures
        board = store.read("leaderboard")
        assert board.groupby("ticker")["model"].agg(set).to_dict() == {"AAA": expected, "BBB": expected}
        assert set(store.read("panel_leaderboard")["model"]) == expected
    # November has naive alone, so that it is not recorded as a month of this home.
    with open_instance(settings.home) as instance:
        months = instance.get_materialized_partitions(dg.AssetKey("garch_fits"))
        assert months == _keys(("AAA", OCTOBER), ("BBB", OCTOBER))
        assert instance.get_materialized_partitions(dg.AssetKey("benchmark_forecasts")) == _keys(
            ("AAA", OCTOBER), ("BBB", OCTOBER), ("AAA", NOVEMBER), ("BBB", NOVEMBER)
        )


def test_a_run_of_a_schedule_issues_its_newest_forecasts(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bars of AAA end in December 2006; what the schedule asks of the run is in its options."""
    assert _materialize(settings, instance, ["raw_prices", "realized_vol_features"], "AAA", "BBB").success
    store = open_warehouse(settings)
    last = store.read("raw_prices", ticker="AAA")["date"].iloc[-1]
    target = calendar_for("AAA").next_session(last)
    place = Partition("AAA", refit_month(target))
    evening = datetime.combine(last, time(23), UTC)
    monkeypatch.setattr("volassets.pipeline.context.utc_now", lambda: evening)
    grid = ["lag_analysis", "selected_features", "benchmark_forecasts", "garch_fits", "garch_forecasts"]
    by_hand, scheduled = run_config("refit_months", [place]), run_config("refit_months", [place], issue=True)
    assert _materialize(settings, instance, grid, place.key, place.key, by_hand).success
    assert store.read("issued_forecasts").empty
    assert _materialize(settings, instance, grid, place.key, place.key, scheduled).success
    issued = store.read("issued_forecasts")
    assert set(issued["ticker"]) == {"AAA"}
    assert set(issued["origin_date"]) == {last}
    assert set(issued["issued_at"]) == {pd.Timestamp(evening.replace(tzinfo=None))}


@pytest.mark.usefixtures("here")
def test_a_table_of_the_comparison_that_fails_is_a_failure_of_the_run_and_takes_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object) -> None:
        raise ValueError("broken on purpose")

    with monkeypatch.context() as patch:
        patch.setattr("volassets.evaluation.ticker_comparison.mincer_zarnowitz", broken)
        result = _run(settings)
    (text,) = result.failures.values()
    assert "tables_complete: mincer_zarnowitz could not be computed (ValueError: broken on purpose)" in text
    store = open_warehouse(settings)
    for ticker in ("AAA", "BBB"):
        assert store.read("mincer_zarnowitz", ticker=ticker).empty
        assert set(store.read("leaderboard", ticker=ticker)["model"]) == {"naive", "garch"}
        assert list((settings.home / "reports").glob(f"*{ticker}*"))
    with open_instance(settings.home) as instance:
        assert not instance.get_materialized_partitions(dg.AssetKey("comparison_reports"))
    # Until it is repaired, every run says so.
    assert "mincer_zarnowitz could not be computed" in next(iter(_run(settings).failures.values()))
