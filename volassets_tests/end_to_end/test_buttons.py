"""The buttons of the UI from a fresh home on, over GraphQL: each does what it says, and the page says what happened."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from volassets_tests.conftest import simulate_bars
from volassets_tests.end_to_end.pages import Pages
from volassets_tests.end_to_end.servers import LONGEST_WAIT, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

MODELS = ("naive", "garch", "lstm")
PRICES = ("raw_prices", "realized_vol_features")
MONTHLY = (
    "lag_analysis",
    "selected_features",
    "benchmark_forecasts",
    "garch_fits",
    "garch_forecasts",
    "lstm_fits",
    "lstm_forecasts",
    "feature_importance",
    "risk_forecasts",
)
FOLLOWING = ("risk_backtests", "comparison_reports", "panel_report")
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
STARTED = "volassets/started_by"
# The month after the last bundled bar is the last that can be forecast.
MONTHS = ("2018-11", "2018-12", "2019-01")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """A fresh home under its servers; the tests of this file follow each other."""
    patch = pytest.MonkeyPatch()
    patch.delenv("DAGSTER_HOME", raising=False)
    home = tmp_path_factory.mktemp("buttons") / "home"
    own = {"VOLASSETS_START_MONTH": MONTHS[0], "VOLASSETS_LSTM_SEEDS": "1", "VOLASSETS_IMPORTANCE": "never"}
    started = Pages(home, MODELS, **own)
    try:
        started.start()
        yield started
    finally:
        started.kill()
        patch.undo()


def _volassets(served: Pages, *arguments: str) -> str:
    command = [sys.executable, "-m", "volassets", *arguments]
    done = subprocess.run(command, env=served.environment, capture_output=True, text=True, timeout=LONGEST_WAIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _range(first: str, last: str) -> dict[str, str]:
    return {RANGE_START: first, RANGE_END: last}


def test_a_month_whose_upstream_is_missing_says_what_to_do(served: Pages) -> None:
    prices = served.launch(PRICES, _range("^GSPC", "^IXIC"))
    assert served.wait_run(prices, LONGEST_WAIT) == "SUCCESS", served.failures(prices)
    run = served.launch(["lstm_forecasts"], {"dagster/partition": "2018-12-01|^GSPC"})
    assert served.wait_run(run, LONGEST_WAIT) == "FAILURE"
    (event,) = served.failure_events(run)
    assert "the lstm fit of ^GSPC 2018-12 is not stored" in event["failureMetadata"]["description"]
    assert "materialize lstm_fits for it first" in event["failureMetadata"]["description"]
    assert event["error"]["stack"] == []
    stats = served.partitions("lstm_forecasts")["partitionStats"]
    assert (stats["numMaterialized"], stats["numFailed"]) == (0, 1)
    assert served.cells("lstm_forecasts") == set()


def test_a_terminated_backfill_keeps_what_it_had_and_is_executed_again(served: Pages) -> None:
    keys = [f"{month}-01|{ticker}" for month in MONTHS for ticker in ("^GSPC", "^IXIC")]
    backfill = served.backfill(assetSelection=[{"path": [asset]} for asset in MONTHLY], partitionNames=keys)
    wait_until(lambda: served.cells("lstm_fits"), LONGEST_WAIT, "the first fit")
    (first,) = [run for run in served.runs(backfill) if run["status"] == "STARTED"]
    served.terminate(str(first["runId"]))
    assert served.wait_run(str(first["runId"]), LONGEST_WAIT) == "CANCELED"
    (event,) = served.failure_events(str(first["runId"]))
    assert event["error"]["stack"] == []
    before = served.warehouse().read("lstm_fits", ["ticker", "refit_month", "seconds"])
    again = served.run_again(str(first["runId"]))
    others = [str(run["runId"]) for run in served.runs(backfill) if run["runId"] != first["runId"]]
    for run in {again, *others}:
        assert served.wait_run(run, LONGEST_WAIT) == "SUCCESS", served.failures(run)
    after = served.warehouse().read("lstm_fits", ["ticker", "refit_month", "seconds"])
    # What was stored before the end of the first run was not fitted again: it has its old time.
    assert len(before.merge(after)) == len(before) > 0
    cells = {(key.split("|")[1], key[:7]) for key in keys}
    assert all(served.cells(table) == cells for table in MONTHLY[2:7])


def test_everything_at_once_ends_green(served: Pages) -> None:
    every = [{"path": [asset]} for asset in (*PRICES, *MONTHLY, *FOLLOWING)]
    backfill = served.backfill(assetSelection=every, allPartitions=True)
    wait_until(lambda: "REQUESTED" not in served.backfill_status(backfill), LONGEST_WAIT, "the backfill", pause=1)
    assert served.backfill_status(backfill) == "COMPLETED_SUCCESS"
    for asset in MONTHLY:
        found = served.partitions(asset)
        assert {key[:7] for key in found["partitionKeys"]} == set(MONTHS)
        assert found["partitionStats"] == {"numMaterialized": 6, "numFailed": 0, "numPartitions": 6}, asset
    assert served.cells("lstm_forecasts") == {(ticker, month) for ticker in ("^GSPC", "^IXIC") for month in MONTHS}
    assert not served.warehouse().read("panel_leaderboard").empty


def test_the_checks_of_a_range_show_what_was_found(served: Pages) -> None:
    plausible = served.checks("raw_prices")["bars_plausible"]
    newest = plausible["executionForLatestMaterialization"]
    assert newest["status"] == "FAILED"
    assert newest["evaluation"]["severity"] == "WARN"
    text = newest["evaluation"]["description"]
    assert text.startswith(f"{newest['evaluation']['partition']}: ")
    assert "he last bar is of 2018-12-31" in text
    audit = served.checks("comparison_reports")["no_leakage"]["executionForLatestMaterialization"]
    assert (audit["status"], audit["evaluation"]["severity"]) == ("FAILED", "WARN")
    sane = served.checks("lstm_forecasts")["lstm_forecasts_sane"]["executionForLatestMaterialization"]
    assert sane["status"] == "SUCCEEDED"
    assert "Nothing about the bars" not in plausible["description"]


def test_a_csv_ticker_goes_through_run_ui_tick_and_status(served: Pages, tmp_path: Path) -> None:
    simulate_bars(900, 3, "2015-06-01").to_csv(tmp_path / "ACME.csv", date_format="%Y-%m-%d")
    own = ["--source", "csv", "--csv-dir", str(tmp_path), "--ticker", "ACME", "--models", "naive,garch"]
    # In a home of two bundled tickers: the settings under the running servers change.
    _volassets(served, "run", *own, "--from", "2018-11", "--to", "2018-11", "--jobs", "1")
    refits = [run for run in served.runs() if {"path": ["garch_fits"]} in (run["assetSelection"] or [])]
    (refit,) = [run for run in refits if run["tags"].get(STARTED) == "command line"]
    assert refit["tags"]["volassets/tickers"] == "ACME"
    wait_until(
        lambda: "ACME" in served.partitions("raw_prices")["partitionKeys"], LONGEST_WAIT, "the new ticker", pause=1
    )
    again = served.run_again(str(refit["runId"]))
    assert served.wait_run(again, LONGEST_WAIT) == "SUCCESS", served.failures(again)
    (repeated,) = [run for run in served.runs() if run["runId"] == again]
    assert repeated["tags"][STARTED] == f"re-execution of {str(refit['runId'])[:8]}"
    at = datetime(2018, 11, 1, 10, tzinfo=UTC).timestamp()
    tick = served.tick("monthly_refit", at)
    assert not tick["error"], tick
    assert any("ACME" in request["runConfigYaml"] for request in tick["runRequests"])
    said = _volassets(served, "status")
    assert "ACME" in said
    assert "Dagster's record and the tables agree" in said
