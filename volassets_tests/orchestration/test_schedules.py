"""Ticks of the schedules, evaluated as the daemon does, over a simulated year."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pandas as pd
import pytest

from volassets.orchestration.build import build_definitions
from volassets.orchestration.graph import RANGE_END_TAG, RANGE_START_TAG, dimension_tags
from volassets.orchestration.jobs import grid_names
from volassets.orchestration.schedules import TICKER_TAG, hour_before
from volassets.partitions import cells_of_keys, grid_key
from volassets.settings import Settings, load_settings
from volassets.timing import months_between

NEW_YORK = ZoneInfo("America/New_York")
GRID = ["lag_analysis", "selected_features", "benchmark_forecasts", "garch_fits", "garch_forecasts"]
FORECASTS = ["benchmark_forecasts", "garch_forecasts"]


@pytest.fixture
def download(home: Path) -> Callable[..., Settings]:
    """Settings of a home with a source that downloads; the ticks never call it."""

    def make(*tickers: str, **overrides: object) -> Settings:
        return load_settings(
            home, {"source": "yfinance", "tickers": tickers, "models": ("naive", "garch"), **overrides}
        )

    return make


class Machine:
    """The daemon's part: evaluates ticks, and records what a run of each request would."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance

    def tick(self, settings: Settings, schedule: str, at: str) -> list[dg.RunRequest]:
        """Return the requests of one tick, in local time."""
        repository = build_definitions(settings).get_repository_def()
        context = dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=datetime.fromisoformat(at).replace(tzinfo=NEW_YORK),
            repository_def=repository,
        )
        data = repository.get_schedule_def(schedule).evaluate_tick(context)
        assert data.run_requests or data.skip_message
        return list(data.run_requests or [])

    def record(self, requests: Iterable[dg.RunRequest], fail: Iterable[str] = ()) -> None:
        """Record every cell of the requests whose ticker does not fail."""
        for request in requests:
            if request.tags[TICKER_TAG] in fail:
                continue
            for asset in request.asset_selection or ():
                for key in keys_of(request):
                    event = dg.AssetMaterialization(asset, partition=key, tags=dimension_tags(key))
                    self.instance.report_runless_asset_event(event)


def keys_of(request: dg.RunRequest) -> list[str]:
    """Return the grid keys of a request, single or range."""
    if request.partition_key:
        assert RANGE_START_TAG not in request.tags
        return [str(request.partition_key)]
    (ticker, first), (_, last) = (
        next((name, months[0]) for name, months in cells_of_keys([request.tags[tag]]).items())
        for tag in (RANGE_START_TAG, RANGE_END_TAG)
    )
    return [grid_key(ticker, month) for month in months_between(first, last)]


def asked(requests: Iterable[dg.RunRequest]) -> dict[str, list[str]]:
    """Return ticker -> months asked for in full, as YYYY-MM."""
    found: dict[str, list[str]] = {}
    for request in requests:
        if len(request.asset_selection or ()) == len(GRID):
            for key in keys_of(request):
                found.setdefault(request.tags[TICKER_TAG], []).append(key[:7])
    return found


def updated(requests: Iterable[dg.RunRequest]) -> dict[str, list[str]]:
    """Return ticker -> months of which the forecasts alone are asked for."""
    found: dict[str, list[str]] = {}
    for request in requests:
        if sorted(key.path[-1] for key in request.asset_selection or ()) == sorted(FORECASTS):
            for key in keys_of(request):
                found.setdefault(request.tags[TICKER_TAG], []).append(key[:7])
    return found


def test_prices_go_an_hour_before_what_is_made_from_them(download: Callable[..., Settings]) -> None:
    repository = build_definitions(download("A")).get_repository_def()
    assert repository.get_schedule_def("refresh_prices").cron_schedule == ["0 5 1 * *", "0 21 * * 1-5"]
    assert repository.get_schedule_def("monthly_refit").cron_schedule == "0 6 1 * *"
    assert repository.get_schedule_def("daily_update").cron_schedule == "0 22 * * 1-5"
    for name in ("refresh_prices", "monthly_refit", "daily_update"):
        schedule = repository.get_schedule_def(name)
        assert schedule.execution_timezone == "America/New_York"
        assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


@pytest.mark.parametrize(
    ("cron", "earlier"),
    [
        ("0 6 1 * *", "0 5 1 * *"),
        ("30 6,18 * * *", "30 5,17 * * *"),
        ("0 0 1 * *", "0 0 1 * *"),
        ("*/5 * * * *", "*/5 * * * *"),
    ],
)
def test_hour_before(cron: str, earlier: str) -> None:
    assert hour_before(cron) == earlier


def test_the_time_zone_and_times_are_settings(download: Callable[..., Settings]) -> None:
    settings = download("A", timezone="Europe/Zurich", refit_schedule="15 7 2 * *")
    schedule = build_definitions(settings).get_repository_def().get_schedule_def("monthly_refit")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("15 7 2 * *", "Europe/Zurich")


def test_prices_are_asked_for_ticker_by_ticker(download: Callable[..., Settings], instance: dg.DagsterInstance) -> None:
    requests = Machine(instance).tick(download("^GSPC", "BRK.B"), "refresh_prices", "2024-01-02T21:00")
    assert [request.partition_key for request in requests] == ["^GSPC", "BRK.B"]
    assert len({request.run_key for request in requests}) == 2


def test_the_same_tick_gives_the_same_run_keys(download: Callable[..., Settings], instance: dg.DagsterInstance) -> None:
    machine = Machine(instance)
    first = machine.tick(download("A", "B"), "monthly_refit", "2024-01-01T06:00")
    again = machine.tick(download("A", "B"), "monthly_refit", "2024-01-01T06:00")
    later = machine.tick(download("A", "B"), "monthly_refit", "2024-02-01T06:00")
    assert [request.run_key for request in first] == [request.run_key for request in again]
    assert not {request.run_key for request in first} & {request.run_key for request in later}


def test_a_year(download: Callable[..., Settings], instance: dg.DagsterInstance) -> None:
    """Month starts on holidays and weekends, a machine that is off, a ticker added, one removed, a dead source."""
    machine, two = Machine(instance), download("A", "B")
    # 1 January is a holiday: the month is fitted all the same.
    january = machine.tick(two, "monthly_refit", "2023-01-01T06:00")
    assert asked(january) == {"A": ["2023-01"], "B": ["2023-01"]}
    machine.record(january)
    # The source is down for three days for B over the turn of the month: its bars do not reach the cut-off.
    february = machine.tick(two, "monthly_refit", "2023-02-01T06:00")
    machine.record(february, fail=["B"])
    for day in ("2023-02-01", "2023-02-02"):
        machine.record(machine.tick(two, "daily_update", f"{day}T22:00"), fail=["B"])
    third = machine.tick(two, "daily_update", "2023-02-03T22:00")
    assert asked(third) == {"B": ["2023-02"]}
    assert updated(third) == {"A": ["2023-01", "2023-02"], "B": ["2023-01"]}
    machine.record(third)
    # The machine is off from here to May: the next tick asks for every month in one run a ticker.
    may = machine.tick(two, "monthly_refit", "2023-05-01T06:00")
    assert asked(may) == {name: ["2023-03", "2023-04", "2023-05"] for name in "AB"}
    assert len(may) == 2
    machine.record(may)
    # C is added and B removed; what B has stays recorded and nobody asks for more of it.
    other = download("A", "C")
    june = machine.tick(other, "monthly_refit", "2023-06-01T06:00")
    assert asked(june) == {"A": ["2023-06"], "C": ["2023-06"]}
    machine.record(june)
    # 1 July is a Saturday, 1 October a Sunday; the evening of Friday 30 June updates June alone.
    friday = machine.tick(other, "daily_update", "2023-06-30T22:00")
    assert asked(friday) == {}
    assert updated(friday) == {"A": ["2023-05", "2023-06"], "C": ["2023-06"]}
    for month in ("2023-07", "2023-08", "2023-09", "2023-10", "2023-11", "2023-12"):
        requests = machine.tick(other, "monthly_refit", f"{month}-01T06:00")
        assert asked(requests) == {"A": [month], "C": [month]}
        machine.record(requests)
        assert machine.tick(other, "monthly_refit", f"{month}-01T06:00") == []
    grid = grid_names(list(build_definitions(other).get_repository_def().assets_defs_by_key.values()))
    assert sorted(set(grid)) == sorted(GRID)
    for asset in GRID:
        keys = cells_of_keys(instance.get_materialized_partitions(dg.AssetKey(asset)))
        assert [f"{month:%m}" for month in keys["A"]] == [f"{number:02d}" for number in range(1, 13)]
        assert [f"{month:%m}" for month in keys["B"]] == [f"{number:02d}" for number in range(1, 6)]
        assert [f"{month:%m}" for month in keys["C"]] == [f"{number:02d}" for number in range(6, 13)]


def test_a_revision_of_old_bars_lets_the_daily_update_refit(
    download: Callable[..., Settings], instance: dg.DagsterInstance
) -> None:
    from volassets.warehouse.store import open_warehouse

    settings, machine = download("A", "B"), Machine(instance)
    machine.record(machine.tick(settings, "monthly_refit", "2024-03-01T06:00"))
    row = {"ticker": "A", "date": pd.Timestamp("2020-01-02"), "column": "close", "old": 1.0, "new": 2.0}
    open_warehouse(settings).append("price_revisions", pd.DataFrame([{**row, "seen_at": datetime(2024, 3, 5)}]))
    requests = machine.tick(settings, "daily_update", "2024-03-05T22:00")
    assert asked(requests) == {"A": ["2024-03"]}
    assert updated(requests) == {"B": ["2024-03"]}
    # In the next month that revision is in the fits already.
    machine.record(machine.tick(settings, "monthly_refit", "2024-04-01T06:00"))
    assert asked(machine.tick(settings, "daily_update", "2024-04-02T22:00")) == {}


def test_bundled_bars_do_not_grow(home: Path, instance: dg.DagsterInstance) -> None:
    settings = load_settings(home, {"models": ("naive", "garch")})
    assert Machine(instance).tick(settings, "monthly_refit", "2024-01-01T06:00") == []
    schedule = build_definitions(settings).get_repository_def().get_schedule_def("monthly_refit")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
