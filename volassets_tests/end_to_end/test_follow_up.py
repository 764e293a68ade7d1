"""What follows by itself and what can be started again, against a real webserver and daemon."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from volassets_tests.end_to_end.local import Machine
from volassets_tests.end_to_end.servers import LONGEST_WAIT, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

MODELS = ("naive", "garch")
GRID = ("lag_analysis", "selected_features", "benchmark_forecasts", "garch_fits", "garch_forecasts", "risk_forecasts")
AGAIN = """
mutation($params: ReexecutionParams!) { launchPipelineReexecution(reexecutionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A home that the command line has filled with one month, under its servers."""
    started = Machine(tmp_path_factory.mktemp("follow") / "home", MODELS)
    command = [sys.executable, "-m", "volassets", "run", "--from", "2018-12", "--to", "2018-12", "--jobs", "1"]
    done = subprocess.run(command, env=started.environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        started.start()
        yield started
    finally:
        started.kill()


def _of(machine: Machine, asset: str) -> list[dict[str, Any]]:
    return [run for run in machine.runs() if {"path": [asset]} in (run["assetSelection"] or [])]


def _idle(machine: Machine) -> bool:
    return all(run["status"] in ("SUCCESS", "FAILURE", "CANCELED") for run in machine.runs())


def test_a_run_of_the_command_line_is_executed_again(machine: Machine) -> None:
    (refit,) = _of(machine, "garch_fits")
    assert refit["tags"]["volassets/started_by"] == "command line"
    assert refit["tags"]["volassets/months"] == "2018-12"
    before = machine.warehouse().read("garch_fits")
    params = {"parentRunId": refit["runId"], "strategy": "ALL_STEPS"}
    answer = machine.graphql(AGAIN, params=params)["launchPipelineReexecution"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    run_id = answer["run"]["runId"]
    assert machine.wait_run(run_id, LONGEST_WAIT) == "SUCCESS", machine.failures(run_id)
    (again,) = [run for run in _of(machine, "garch_fits") if run["runId"] == run_id]
    assert again["assetSelection"] == refit["assetSelection"]
    assert machine.warehouse().read("garch_fits").equals(before)


def test_a_backfill_is_followed_by_one_comparison_of_each_ticker_and_one_panel(machine: Machine) -> None:
    # The re-execution has recorded its partitions again, which is followed first.
    wait_until(lambda: _followed(machine) and _idle(machine), LONGEST_WAIT, "what follows the re-execution", pause=2)
    before = {asset: _of(machine, asset) for asset in ("comparison_reports", "panel_report")}
    keys = [f"2018-{month}-01|{ticker}" for ticker in ("^GSPC", "^IXIC") for month in ("09", "10")]
    backfill = machine.backfill(assetSelection=[{"path": [asset]} for asset in GRID], partitionNames=keys)
    wait_until(lambda: machine.backfill_status(backfill).startswith("COMPLETED"), LONGEST_WAIT, "the backfill", pause=2)
    wait_until(
        lambda: len(_of(machine, "panel_report")) > len(before["panel_report"]) and _idle(machine),
        LONGEST_WAIT,
        "the panel",
        pause=2,
    )
    # Two evaluations more find nothing to do.
    ticks = len(_ticks(machine))
    wait_until(lambda: len(_ticks(machine)) >= ticks + 2, LONGEST_WAIT, "two more evaluations", pause=2)
    known = {run["runId"] for runs in before.values() for run in runs}
    compared = [run for run in _of(machine, "comparison_reports") if run["runId"] not in known]
    assert sorted(ticker for run in compared for ticker in _tickers(run)) == ["^GSPC", "^IXIC"]
    assert all(run["status"] == "SUCCESS" for run in compared)
    assert len([run for run in _of(machine, "panel_report") if run["runId"] not in known]) == 1
    board = machine.warehouse().query("SELECT ticker, min(n) AS n FROM leaderboard WHERE horizon = 1 GROUP BY ticker")
    assert set(board["ticker"]) == {"^GSPC", "^IXIC"}
    assert (board["n"] > 50).all()


def _tickers(run: dict[str, Any]) -> list[str]:
    tags = run["tags"]
    if "dagster/partition" in tags:
        return [tags["dagster/partition"]]
    first, last = tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]
    return [ticker for ticker in ("^GSPC", "^IXIC") if first <= ticker <= last]


def _followed(machine: Machine) -> bool:
    return any(run["tags"].get("volassets/started_by") == "follow_updates" for run in _of(machine, "panel_report"))


TICKS = """
query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) {
  ... on Sensor { sensorState { ticks(limit: 100) { tickId status } } } } }
"""


def _ticks(machine: Machine) -> list[dict[str, Any]]:
    selector = {
        "repositoryLocationName": "volassets",
        "repositoryName": "__repository__",
        "sensorName": "follow_updates",
    }
    return machine.graphql(TICKS, selector=selector)["sensorOrError"]["sensorState"]["ticks"]
