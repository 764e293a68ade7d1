"""A backfill of pooled forecasts through webserver and daemon while the prices of one ticker are down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from volassets_tests.conftest import simulate_bars
from volassets_tests.end_to_end.local import Machine
from volassets_tests.end_to_end.servers import LONGEST_WAIT, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

TICKERS, DOWN = ("AAA", "BBB", "CCC"), "CCC"
MONTHS = ("2006-09", "2006-10", "2006-11")
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A home whose servers run: of three tickers one has no prices."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    started = Machine(tmp_path / "home", ("naive", "pooled_ridge"))
    for seed, ticker in enumerate(TICKERS):
        if ticker != DOWN:
            simulate_bars(520, seed).to_csv(tmp_path / f"{ticker}.csv", date_format="%Y-%m-%d")
    (started.home / "volassets.toml").write_text(
        f"tickers = {list(TICKERS)}\nsource = 'csv'\ncsv_dir = '{tmp_path}'\nminimum_history = 400\n"
        "start_month = '2006-09'\n"
    )
    try:
        started.start()
        yield started
    finally:
        started.kill()


def test_the_others_have_their_fits_and_forecasts(served: Machine) -> None:
    prices = served.launch(("raw_prices", "realized_vol_features"), {RANGE_START: TICKERS[0], RANGE_END: DOWN})
    assert served.wait_run(prices, LONGEST_WAIT) == "FAILURE"
    assert DOWN in served.failures(prices)

    fits = [f"{month}-01" for month in MONTHS]
    cells = [f"{month}-01|{ticker}" for month in MONTHS for ticker in TICKERS]
    first = served.backfill(assetSelection=[{"path": ["pooled_fits"]}], partitionNames=fits)
    wait_until(lambda: served.backfill_status(first) == "COMPLETED_SUCCESS", LONGEST_WAIT, "the fits", pause=0.5)
    rows = served.warehouse().read("pooled_fits")
    known = rows.assign(left_out=[json.loads(row)["left_out"] for row in rows["parameters"]])
    assert set(known["ticker"]) == {"AAA", "BBB"}
    assert known["left_out"].tolist() == [[DOWN]] * 2 * len(MONTHS)

    second = served.backfill(assetSelection=[{"path": ["pooled_forecasts"]}], partitionNames=cells)
    over = ("COMPLETED_SUCCESS", "COMPLETED_FAILED")
    wait_until(lambda: served.backfill_status(second) in over, LONGEST_WAIT, "the forecasts", pause=0.5)
    failed = [str(run["runId"]) for run in served.runs(second) if run["status"] != "SUCCESS"]
    texts = [served.failures(run) for run in failed]
    assert len(texts) == len(MONTHS)
    assert all(
        f"pooled_ridge: no bars of {DOWN} are stored: `volassets run --ticker '{DOWN}'`" in text for text in texts
    )
    assert served.cells("pooled_forecasts") == {(ticker, month) for month in MONTHS for ticker in TICKERS[:2]}
