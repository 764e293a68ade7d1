"""Ticks of the schedules, evaluated as the daemon does, over a simulated year."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pandas as pd
import pytest
from croniter import croniter

from volassets.definitions import build_definitions
from volassets.market.calendar import calendar_for
from volassets.orchestration.jobs import RANGE_END_TAG, RANGE_START_TAG, TICKERS_TAG, op_name
from volassets.orchestration.schedule_groups import hour_before, schedule_groups
from volassets.pipeline.cells import Partition, Scope, bounding_range, partitions_of_spans
from volassets.pipeline.steps import graph_steps
from volassets.pipeline.stored_hashes import StoredHashes
from volassets.settings import Settings, load_settings
from volassets.warehouse.declarations import Table
from volassets.warehouse.store import Replacement, Upsert, open_warehouse

NEW_YORK = ZoneInfo("America/New_York")
GRID = ["lag_analysis", "selected_features", "benchmark_forecasts", "garch_fits", "garch_forecasts", "risk_forecasts"]
FORECASTS = ["benchmark_forecasts", "garch_forecasts", "risk_forecasts"]


@pytest.fixture
def download(home: Path) -> Callable[..., Settings]:
    """Settings of a home with a source that downloads; the ticks never call it."""

    def make(*tickers: str, **overrides: object) -> Settings:
        return load_settings(
            home, {"source": "yfinance", "tickers": tickers, "models": ("naive", "garch"), **overrides}
        )

    return make


class Machine:
    """The daemon's part: evaluates ticks, and stores what a run of each request would."""

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

    def record(self, settings: Settings, requests: Iterable[dg.RunRequest], fail: Iterable[str] = ()) -> None:
        """Store every cell of the requests whose ticker does not fail."""
        warehouse = open_warehouse(settings)
        steps = {step.name: step for step in graph_steps(settings)}
        for request in requests:
            cells = [place for place in cells_of(settings, request) if place.ticker not in fail]
            if not cells:
                continue
            for step in (steps[key.path[-1]] for key in request.asset_selection or map(dg.AssetKey, GRID)):
                table = warehouse.table(step.table)
                models = [model.name for model in step.models if model.name in settings.models] or [""]
                rows = [filled(table, place, model) for place in cells for model in models]
                names = pd.DataFrame(rows)[list(table.cell)]
                warehouse.write(Replacement(step.table, pd.DataFrame(rows), names))


EMPTY = {"VARCHAR": "", "DATE": pd.Timestamp(0), "INTEGER": 0, "DOUBLE": 0.0, "BOOLEAN": True, "JSON": "{}"}


def filled(table: Table, place: Partition, model: str) -> dict[str, Any]:
    """Return a row that names its cell and says nothing."""
    row = {column.name: EMPTY[column.type] for column in table.columns}
    names = {"ticker": place.ticker, "refit_month": place.month, "model": model, "data_hash": "0" * 16}
    return row | {name: value for name, value in names.items() if name in row}


def cells_of(settings: Settings, request: dg.RunRequest, block: str = "refit_months") -> list[Partition]:
    """Return the exact cells of a request, with the range around them and no single partition."""
    assert request.partition_key is None
    cells = partitions_of_spans(request.run_config["ops"][op_name(block)]["config"]["cells"])
    first, last = bounding_range(cells, settings.tickers)
    assert (request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) == (first.key, last.key)
    return cells


def by_ticker(settings: Settings, requests: Iterable[dg.RunRequest]) -> dict[str, list[str]]:
    """Return ticker -> months asked for, as YYYY-MM."""
    found: dict[str, list[str]] = {}
    for request in requests:
        for place in cells_of(settings, request):
            found.setdefault(place.ticker, []).append(f"{place.month:%Y-%m}")
    return found


def asked(settings: Settings, requests: Iterable[dg.RunRequest]) -> dict[str, list[str]]:
    """Return ticker -> months asked for in full, as YYYY-MM."""
    return by_ticker(settings, [request for request in requests if request.asset_selection is None])


def updated(settings: Settings, requests: Iterable[dg.RunRequest]) -> dict[str, list[str]]:
    """Return ticker -> months of which the forecasts alone are asked for."""
    listed = [request for request in requests if request.asset_selection is not None]
    for request in listed:
        assert sorted(key.path[-1] for key in request.asset_selection or ()) == sorted(FORECASTS)
        assert request.run_config["ops"][op_name("refit_months")]["config"]["issue"] is True
    return by_ticker(settings, listed)


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
    ("tickers", "own"),
    [
        (("AAPL", "^GSPC"), {"": (NEW_YORK.key, "0 22 * * 1-5", "0 21 * * 1-5")}),
        (("7203.T",), {"_tokyo": ("Asia/Tokyo", "0 22 * * 1-5", "0 21 * * 1-5")}),
        (("BTC-USD",), {"_utc": ("UTC", "0 1 * * *", "0 0 * * *")}),
        # Friday's rate is final when Saturday begins.
        (("EURUSD=X",), {"_utc": ("UTC", "0 1 * * 2,3,4,5,6", "0 0 * * 2,3,4,5,6")}),
        (
            ("VOD.L", "AAPL", "ETH-USD", "EURUSD=X", "^N225", "7203.T"),
            {
                "": (NEW_YORK.key, "0 22 * * 1-5", "0 21 * * 1-5"),
                "_london": ("Europe/London", "0 22 * * 1-5", "0 21 * * 1-5"),
                "_tokyo": ("Asia/Tokyo", "0 22 * * 1-5", "0 21 * * 1-5"),
                "_utc": ("UTC", "0 1 * * *", "0 0 * * *"),
            },
        ),
    ],
)
def test_every_exchange_is_updated_after_its_own_close(
    download: Callable[..., Settings], tickers: tuple[str, ...], own: dict[str, tuple[str, str, str]]
) -> None:
    settings = download(*tickers)
    repository = build_definitions(settings).get_repository_def()
    names = {f"{name}{suffix}" for name in ("refresh_prices", "monthly_refit", "daily_update") for suffix in own}
    assert {schedule.name for schedule in repository.schedule_defs} == names
    groups = {group.suffix: group for group in schedule_groups(settings)}
    assert sorted(ticker for group in groups.values() for ticker in group.tickers) == sorted(tickers)
    for suffix, (zone, update, prices) in own.items():
        daily = repository.get_schedule_def(f"daily_update{suffix}")
        assert (daily.execution_timezone, daily.cron_schedule) == (zone, update)
        refresh = repository.get_schedule_def(f"refresh_prices{suffix}")
        assert (refresh.execution_timezone, refresh.cron_schedule) == (zone, ["0 5 1 * *", prices])
        for ticker in groups[suffix].tickers:
            assert_sessions_have_closed(ticker, prices, zone)


def assert_sessions_have_closed(ticker: str, cron: str, zone: str) -> None:
    """The session of the tick's day has closed; round the clock it is the day before's, at the moment of its close."""
    calendar = calendar_for(ticker)
    ticks = croniter(cron, datetime(2024, 1, 1, tzinfo=ZoneInfo(zone)))
    for _ in range(100):
        at = pd.Timestamp(ticks.get_next(datetime))
        day = at.tz_localize(None).normalize() - pd.Timedelta(days=calendar.close.days)
        last = calendar.sessions(day - pd.Timedelta(days=14), day)[-1]
        assert calendar.closed(last, at), (ticker, at)


def test_a_tick_asks_for_its_own_groups_tickers_alone(
    download: Callable[..., Settings], instance: dg.DagsterInstance
) -> None:
    settings, machine = download("7203.T", "AAPL", "VOD.L", "6758.T"), Machine(instance)
    for suffix, tickers in (("", ["AAPL"]), ("_london", ["VOD.L"]), ("_tokyo", ["7203.T", "6758.T"])):
        (prices,) = machine.tick(settings, f"refresh_prices{suffix}", "2024-01-02T21:00")
        options = prices.run_config["ops"][op_name("refresh_prices")]["config"]
        assert [place.ticker for place in partitions_of_spans(options["cells"])] == tickers
        months = machine.tick(settings, f"monthly_refit{suffix}", "2024-01-01T06:00")
        keys = {request.run_key for request in months}
        assert all(f"monthly_refit{suffix}:" in str(key) for key in keys)
        assert asked(settings, months) == {ticker: ["2024-01"] for ticker in tickers}


def test_a_calendar_that_does_not_exist_leaves_the_others_their_schedules(download: Callable[..., Settings]) -> None:
    settings = download("7203.T", "AAPL", calendars={"AAPL": "XNOPE"})
    assert {group.suffix: group.tickers for group in schedule_groups(settings)} == {
        "": ("AAPL",),
        "_tokyo": ("7203.T",),
    }


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


def test_one_run_covers_every_ticker_unless_the_settings_split_it(
    download: Callable[..., Settings], instance: dg.DagsterInstance
) -> None:
    names, machine = ("^GSPC", "BRK.B", "C"), Machine(instance)
    for size, groups in ((0, [[*names]]), (2, [["^GSPC", "BRK.B"], ["C"]]), (1, [["^GSPC"], ["BRK.B"], ["C"]])):
        settings = download(*names, tickers_per_run=size)
        prices = machine.tick(settings, "refresh_prices", "2024-01-02T21:00")
        cells = [cells_of(settings, request, "refresh_prices") for request in prices]
        assert cells == [[Partition(name) for name in group] for group in groups]
        months = machine.tick(settings, "monthly_refit", "2024-01-01T06:00")
        assert [[*by_ticker(settings, [request])] for request in months] == groups
        assert [request.tags[TICKERS_TAG] for request in months] == [", ".join(group) for group in groups]
        for requests in (prices, months):
            assert len({request.run_key for request in requests}) == len(groups)


def test_the_same_tick_gives_the_same_run_keys(download: Callable[..., Settings], instance: dg.DagsterInstance) -> None:
    machine = Machine(instance)
    first = machine.tick(download("A", "B"), "monthly_refit", "2024-01-01T06:00")
    again = machine.tick(download("A", "B"), "monthly_refit", "2024-01-01T06:00")
    later = machine.tick(download("A", "B"), "monthly_refit", "2024-02-01T06:00")
    assert [request.run_key for request in first] == [request.run_key for request in again]
    assert not {request.run_key for request in first} & {request.run_key for request in later}


@pytest.mark.slow
def test_a_year(download: Callable[..., Settings], instance: dg.DagsterInstance) -> None:
    """Month starts on holidays and weekends, a machine that is off, a ticker added, one removed, a dead source."""
    machine, two = Machine(instance), download("A", "B")
    # 1 January is a holiday: the month is fitted all the same.
    january = machine.tick(two, "monthly_refit", "2023-01-01T06:00")
    assert asked(two, january) == {"A": ["2023-01"], "B": ["2023-01"]}
    machine.record(two, january)
    # The source is down for three days for B over the turn of the month: its bars do not reach the cut-off.
    february = machine.tick(two, "monthly_refit", "2023-02-01T06:00")
    machine.record(two, february, fail=["B"])
    for day in ("2023-02-01", "2023-02-02"):
        machine.record(two, machine.tick(two, "daily_update", f"{day}T22:00"), fail=["B"])
    third = machine.tick(two, "daily_update", "2023-02-03T22:00")
    assert asked(two, third) == {"B": ["2023-02"]}
    assert updated(two, third) == {"A": ["2023-01", "2023-02"], "B": ["2023-01"]}
    machine.record(two, third)
    # The machine is off from here to May: the next tick asks for every month in one run.
    may = machine.tick(two, "monthly_refit", "2023-05-01T06:00")
    assert asked(two, may) == {name: ["2023-03", "2023-04", "2023-05"] for name in "AB"}
    assert len(may) == 1
    machine.record(two, may)
    # C is added and B removed; what B has stays stored and nobody asks for more of it.
    other = download("A", "C")
    june = machine.tick(other, "monthly_refit", "2023-06-01T06:00")
    assert asked(other, june) == {"A": ["2023-06"], "C": ["2023-06"]}
    machine.record(other, june)
    # 1 July is a Saturday, 1 October a Sunday; the evening of Friday 30 June updates June alone.
    friday = machine.tick(other, "daily_update", "2023-06-30T22:00")
    assert asked(other, friday) == {}
    assert updated(other, friday) == {"A": ["2023-05", "2023-06"], "C": ["2023-06"]}
    for month in ("2023-07", "2023-08", "2023-09", "2023-10", "2023-11", "2023-12"):
        requests = machine.tick(other, "monthly_refit", f"{month}-01T06:00")
        assert asked(other, requests) == {"A": [month], "C": [month]}
        machine.record(other, requests)
        assert machine.tick(other, "monthly_refit", f"{month}-01T06:00") == []
    grid = [step for step in graph_steps(other) if step.scope is Scope.TICKER_MONTH]
    assert sorted(step.name for step in grid) == sorted(GRID)
    stored_hashes = StoredHashes(open_warehouse(other))
    for step in grid:
        months = {
            name: sorted({p.month.month for p, _ in stored_hashes.hashes(step.table) if p.ticker == name})
            for name in "ABC"
        }
        assert months == {"A": [*range(1, 13)], "B": [*range(1, 6)], "C": [*range(6, 13)]}


def test_a_revision_of_old_bars_lets_the_daily_update_refit(
    download: Callable[..., Settings], instance: dg.DagsterInstance
) -> None:
    settings, machine = download("A", "B"), Machine(instance)
    machine.record(settings, machine.tick(settings, "monthly_refit", "2024-03-01T06:00"))
    row = {"ticker": "A", "date": pd.Timestamp("2020-01-02"), "column": "close", "old": 1.0, "new": 2.0}
    open_warehouse(settings).write(Upsert("price_revisions", pd.DataFrame([{**row, "seen_at": datetime(2024, 3, 5)}])))
    requests = machine.tick(settings, "daily_update", "2024-03-05T22:00")
    assert asked(settings, requests) == {"A": ["2024-03"]}
    assert updated(settings, requests) == {"B": ["2024-03"]}
    # In the next month that revision is in the fits already.
    machine.record(settings, machine.tick(settings, "monthly_refit", "2024-04-01T06:00"))
    assert asked(settings, machine.tick(settings, "daily_update", "2024-04-02T22:00")) == {}


def test_bundled_bars_do_not_grow(home: Path, instance: dg.DagsterInstance) -> None:
    settings = load_settings(home, {"models": ("naive", "garch")})
    assert Machine(instance).tick(settings, "monthly_refit", "2024-01-01T06:00") == []
    schedule = build_definitions(settings).get_repository_def().get_schedule_def("monthly_refit")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def test_a_tickers_own_source_decides_whether_its_bars_can_grow(
    download: Callable[..., Settings], home: Path, instance: dg.DagsterInstance
) -> None:
    settings = download("A", "B", sources={"B": {"source": "csv", "csv_dir": str(home)}})
    requests = Machine(instance).tick(settings, "monthly_refit", "2024-03-01T06:00")
    assert asked(settings, requests) == {"A": ["2024-03"]}
    for sources, status in (({}, "STOPPED"), ({"B": {"source": "yfinance"}}, "RUNNING")):
        settings = download("A", "B", source="bundled", sources=sources)
        schedule = build_definitions(settings).get_repository_def().get_schedule_def("daily_update")
        assert schedule.default_status == dg.DefaultScheduleStatus[status]


def test_a_closed_tickers_bars_are_not_asked_for_nor_months_after_them(
    download: Callable[..., Settings], instance: dg.DagsterInstance
) -> None:
    settings, machine = download("A", "GONE", closed=("GONE",)), Machine(instance)
    (prices,) = machine.tick(settings, "refresh_prices", "2024-01-02T21:00")
    assert cells_of(settings, prices, "refresh_prices") == [Partition("A")]
    assert machine.tick(download("GONE", closed=("GONE",)), "refresh_prices", "2024-01-02T21:00") == []
    store = open_warehouse(settings)
    for ticker in settings.tickers:
        days = pd.bdate_range("2023-09-01", "2023-11-10")
        bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close", "adj_close", "volume"), 1.0), index=days)
        rows = bars.rename_axis("date").reset_index().assign(ticker=ticker, source="yfinance", fetched_at=days[0])
        store.write(Upsert("raw_prices", rows))
        for step in graph_steps(settings):
            if step.scope is Scope.TICKER_MONTH:
                table, place = store.table(step.table), Partition(ticker, pd.Timestamp("2023-11-01"))
                listed = [filled(table, place, model.name if model else "") for model in step.variants]
                rows = pd.DataFrame(listed)
                store.write(Replacement(step.table, rows, rows[list(table.cell)].drop_duplicates()))
    requests = machine.tick(settings, "monthly_refit", "2024-02-01T06:00")
    assert asked(settings, requests) == {"A": ["2023-12", "2024-01", "2024-02"]}
