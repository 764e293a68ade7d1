"""What a user does in the UI, against a real webserver and daemon: the right cells, and no other cell."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import dagster as dg
import pandas as pd
import pytest

from volassets.orchestration.instance import open_instance
from volassets.orchestration.materializations import Difference, differences, recorded_versions
from volassets.orchestration.orphaned_runs import orphaned_runs
from volassets.pipeline.context import Context
from volassets.pipeline.home_status import read_status
from volassets.pipeline.planner import EARLIER_MONTH, MISSING, PlannedCell
from volassets.pipeline.steps import steps
from volassets.settings import Settings
from volassets_tests.end_to_end.local import REPOSITORY, Machine, machine
from volassets_tests.end_to_end.servers import LONGEST_WAIT, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

MODELS = ("naive", "garch")
GRID = ("lag_analysis", "selected_features", "benchmark_forecasts", "garch_fits", "garch_forecasts", "risk_forecasts")
PRICES = ("raw_prices", "realized_vol_features")
OVER = ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED")
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def _keys(ticker: str, *months: str) -> list[str]:
    return [f"{month}-01|{ticker}" for month in months]


def _path(*assets: str) -> list[dict[str, list[str]]]:
    return [{"path": [asset]} for asset in assets]


def _over(asset: str, first: str, last: str) -> dict[str, object]:
    return {"assetKey": {"path": [asset]}, "partitions": {"range": {"start": first, "end": last}}}


@dataclass
class Launched:
    """Everything that the tests look at, launched at once, as a user who clicks on."""

    machine: Machine
    month: str
    backfills: dict[str, str] = field(default_factory=dict)

    def runs(self, name: str) -> list[dict[str, object]]:
        """Return the runs of a backfill after it is over."""
        return self.machine.runs(self.backfills[name])

    def finish(self) -> None:
        """Wait for everything."""
        for name, backfill in self.backfills.items():
            wait_until(
                lambda b=backfill: self.machine.backfill_status(b) in OVER, LONGEST_WAIT, f"backfill {name}", pause=1
            )
        self.machine.wait_run(self.month, LONGEST_WAIT)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """One machine for all tests of this file, with everything over."""
    patch = pytest.MonkeyPatch()
    patch.delenv("DAGSTER_HOME", raising=False)
    with machine(tmp_path_factory.mktemp("ui") / "home", MODELS) as started:
        # Both tickers' bars in one run, as a selection of two partitions in the UI.
        prices = started.launch(PRICES, {RANGE_START: "^GSPC", RANGE_END: "^IXIC"})
        assert started.wait_run(prices, LONGEST_WAIT) == "SUCCESS", started.failures(prices)
        month = started.launch(GRID, {"dagster/partition": "2018-12-01|^GSPC"})
        one = Launched(started, month)
        ask = started.backfill
        one.backfills["range"] = ask(
            assetSelection=_path(*GRID), partitionNames=_keys("^GSPC", "2018-01", "2018-02", "2018-03")
        )
        one.backfills["apart"] = ask(assetSelection=_path(*GRID), partitionNames=_keys("^GSPC", "2018-06", "2018-08"))
        one.backfills["both"] = ask(
            assetSelection=_path("lag_analysis"),
            partitionNames=[*_keys("^GSPC", "2018-05"), *_keys("^IXIC", "2018-05")],
        )
        grid = [_over(asset, "2018-10-01|^IXIC", "2018-11-01|^IXIC") for asset in GRID]
        whole = [_over(asset, "^IXIC", "^IXIC") for asset in (*PRICES, "risk_backtests", "comparison_reports")]
        one.backfills["graph"] = ask(partitionsByAssets=[*whole, *grid])
        one.backfills["job"] = ask(
            selector={
                "partitionSetName": "refit_months_partition_set",
                "repositorySelector": {
                    "repositoryLocationName": REPOSITORY["repositoryLocationName"],
                    "repositoryName": REPOSITORY["repositoryName"],
                },
            },
            partitionNames=_keys("^GSPC", "2017-01", "2017-02"),
        )
        one.finish()
        yield one
    patch.undo()


def _status(settings: Settings) -> tuple[list[PlannedCell], list[Difference]]:
    """Return the missing and stale cells, and where Dagster's record differs, as `volassets status` finds them."""
    listed = steps(settings)
    recorded = recorded_versions(open_instance(settings.home), listed)
    cells: list[PlannedCell] = []
    differing: list[Difference] = []
    for state, portion in read_status(Context(settings), listed):
        assert [ticker.bars_to for ticker in portion if ticker.bars_to is None] == []
        cells += [cell for ticker in portion for cell in ticker.cells]
        differing += differences(state, listed, recorded, [ticker.ticker for ticker in portion])
    return cells, differing


GRID_CELLS = {
    *(("^GSPC", month) for month in ("2018-01", "2018-02", "2018-03", "2018-06", "2018-08", "2018-12")),
    *(("^IXIC", month) for month in ("2018-10", "2018-11")),
}


@pytest.mark.parametrize("table", GRID[1:])
def test_the_asked_cells_are_there_and_no_other(launched: Launched, table: str) -> None:
    assert launched.machine.cells(table) == GRID_CELLS


# Launched apart from the earlier months of the range, from which their risk goes on: they may come before these.
APART = [("^GSPC", pd.Timestamp(month)) for month in ("2018-06-01", "2018-08-01", "2018-12-01")]


def test_several_tickers_of_one_month_are_one_run(launched: Launched) -> None:
    found = launched.machine.cells("lag_analysis")
    assert found == {*GRID_CELLS, ("^GSPC", "2018-05"), ("^IXIC", "2018-05")}
    (run,) = launched.runs("both")
    assert run["status"] == "SUCCESS"


def test_a_range_of_months_is_one_run(launched: Launched) -> None:
    (run,) = launched.runs("range")
    assert run["status"] == "SUCCESS"
    assert run["tags"][RANGE_START] == "2018-01-01|^GSPC"
    assert run["tags"][RANGE_END] == "2018-03-01|^GSPC"


def test_months_apart_are_a_run_each(launched: Launched) -> None:
    runs = launched.runs("apart")
    assert [run["status"] for run in runs] == ["SUCCESS", "SUCCESS"]


def test_the_whole_graph_of_a_ticker_goes_in_its_order(launched: Launched) -> None:
    runs = launched.runs("graph")
    assert {run["status"] for run in runs} == {"SUCCESS"}
    assert len(runs) == 3
    # The other ticker's months are followed by its comparison as well, whenever they are done.
    board = launched.machine.warehouse().read("leaderboard", ticker="^IXIC")
    assert set(board["model"]) == {"garch", "naive"}
    assert "<h1" in (launched.machine.home / "reports" / "^IXIC.html").read_text("utf-8")


def test_a_backfill_of_a_job_is_refused_with_the_remedy(launched: Launched) -> None:
    runs = launched.runs("job")
    assert runs
    assert {run["status"] for run in runs} == {"FAILURE"}
    text = launched.machine.failures(str(runs[0]["runId"]))
    assert "tagged with the range" in text
    assert "Start the backfill from the asset page, or with `volassets run`" in text
    assert not {cell for table in GRID for cell in launched.machine.cells(table) if cell[1].startswith("2017")}


def test_dagsters_record_agrees_with_the_tables(launched: Launched) -> None:
    settings = launched.machine.settings
    cells, differing = _status(settings)
    assert differing == []
    assert orphaned_runs(open_instance(settings.home), settings.home) == []
    stale = {planned.cell for planned in cells if planned.reason not in (MISSING, EARLIER_MONTH)}
    assert [cell for cell in stale if cell.step != "risk_forecasts" or tuple(cell.partition) not in APART] == []


def test_every_partition_has_its_check_results(launched: Launched) -> None:
    storage = open_instance(launched.machine.home).event_log_storage
    key = dg.AssetCheckKey(dg.AssetKey("garch_fits"), "garch_fits_converged")
    found = {info.partition_key for info in storage.get_asset_check_partition_info([key])}
    assert {f"{month}-01|{ticker}" for ticker, month in GRID_CELLS} <= found


def test_dagsters_own_command_line_takes_a_range(launched: Launched) -> None:
    home = launched.machine
    arguments = ["asset", "materialize", "--select", "selected_features", "-m", "volassets.definitions"]
    arguments += ["--partition-range", "2017-05-01|^GSPC...2017-06-01|^GSPC"]
    done = subprocess.run(
        [sys.executable, "-m", "dagster", *arguments], env=home.environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert {cell for cell in home.cells("selected_features") if cell[1] < "2018"} == {
        ("^GSPC", "2017-05"),
        ("^GSPC", "2017-06"),
    }


def test_the_definitions_are_valid(launched: Launched) -> None:
    arguments = [sys.executable, "-m", "dagster", "definitions", "validate", "-m", "volassets.definitions"]
    done = subprocess.run(arguments, env=launched.machine.environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def test_daemon_and_webserver_are_killed_in_a_backfill(launched: Launched) -> None:
    home = launched.machine
    months = [f"2016-{number:02d}" for number in range(1, 7)]
    backfill = home.backfill(assetSelection=_path(*GRID), partitionNames=_keys("^GSPC", *months))
    wait_until(lambda: ("^GSPC", "2016-01") in home.cells("benchmark_forecasts"), LONGEST_WAIT, "the first month")
    home.kill()
    home.start()
    wait_until(lambda: home.backfill_status(backfill) in OVER, LONGEST_WAIT, "the backfill", pause=1)
    wanted = {("^GSPC", month) for month in months}
    wait_until(lambda: wanted <= home.cells("garch_forecasts"), LONGEST_WAIT, "the months", pause=1)
    for table in GRID:
        assert {cell for cell in home.cells(table) if cell[1].startswith("2016")} == wanted
    twice = (
        "SELECT count(*) AS n FROM (SELECT 1 FROM garch_fits GROUP BY ticker, refit_month, model HAVING count(*) > 1)"
    )
    assert home.warehouse().query(twice)["n"].tolist() == [0]
    wait_until(
        lambda: not any(run["status"] in ("STARTED", "QUEUED") for run in home.runs()), LONGEST_WAIT, "the queue"
    )
    _, differing = _status(home.settings)
    assert differing == []
