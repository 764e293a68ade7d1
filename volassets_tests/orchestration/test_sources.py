"""Each ticker's own source, in runs that the interface starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pandas as pd

from volassets.definitions import build_definitions
from volassets.orchestration.jobs import RANGE_END_TAG, RANGE_START_TAG
from volassets.orchestration.runner import QUIET
from volassets.settings import load_settings
from volassets.warehouse.store import open_warehouse

SOURCES = "SELECT ticker, any_value(source) AS source, count(*) AS n FROM raw_prices GROUP BY ticker ORDER BY ticker"


def test_one_run_takes_every_ticker_from_its_own_source(
    home: Path,
    instance: dg.DagsterInstance,
    write_csv: Callable[[str, pd.DataFrame], Path],
    simulated_bars: Callable[..., pd.DataFrame],
) -> None:
    folder = write_csv("ACME", simulated_bars(520, 1))
    home.mkdir()
    (home / "volassets.toml").write_text(
        'tickers = ["^GSPC", "ACME", "NOPE"]\nmodels = ["naive"]\n'
        f'[sources."ACME"]\nsource = "csv"\ncsv_dir = "{folder}"\n'
    )
    settings = load_settings(home)
    job = build_definitions(settings).get_repository_def().get_implicit_global_asset_job_def()
    result = job.execute_in_process(
        run_config=QUIET,
        instance=instance,
        asset_selection=[dg.AssetKey("raw_prices")],
        tags={RANGE_START_TAG: "^GSPC", RANGE_END_TAG: "NOPE"},
        raise_on_error=False,
    )
    # No source knows NOPE: it is named, and stops nobody else.
    assert not result.success
    assert "NOPE" in str(result.failure_data_for_node("refresh_prices_assets"))
    stored = open_warehouse(settings).query(SOURCES)
    assert stored[["ticker", "source"]].to_numpy().tolist() == [["ACME", "csv"], ["^GSPC", "bundled"]]
    assert stored["n"].iloc[0] == 520
    assert instance.get_materialized_partitions(dg.AssetKey("raw_prices")) == {"^GSPC", "ACME"}
