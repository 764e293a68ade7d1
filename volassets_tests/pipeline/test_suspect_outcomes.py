"""Outcomes of suspect sessions are in no score, those around them are."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from volassets.pipeline.cells import Partition
from volassets.pipeline.comparison_steps import without_suspects
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import load_settings
from volassets.warehouse.store import open_warehouse
from volassets_tests.conftest import simulate_bars


def test_exactly_the_outcomes_that_hold_a_suspect_day_are_left_out() -> None:
    clean = simulate_bars(400, seed=9)
    wrong = clean.copy()
    wrong.iloc[300, 2] /= 10
    scored = pd.DataFrame(
        [(day, horizon, 1e-4) for horizon in (1, 5) for day in clean.index[280:320]],
        columns=["origin_date", "horizon", "realized_variance"],
    )
    pd.testing.assert_frame_equal(without_suspects(scored, clean), scored)
    left_out = without_suspects(scored, wrong)["realized_variance"].isna()
    for horizon in (1, 5):
        rows = scored["horizon"] == horizon
        origins = np.flatnonzero(clean.index.isin(scored["origin_date"][rows & left_out]))
        assert origins.tolist() == list(range(300 - horizon, 300))
    # Known at the cut-off of a comparison alone: bars that come later may clear the day again.
    early = without_suspects(scored, wrong.iloc[:301])["realized_variance"].isna()
    assert early.sum() == 6


def test_the_views_leave_out_the_same_outcomes_also_of_a_file_that_had_no_such_table(tmp_path: Path) -> None:
    wrong = simulate_bars(400, seed=9)
    wrong.iloc[300, 2] /= 10
    wrong.to_csv(tmp_path / "AAA.csv", index_label="date")
    settings = load_settings(tmp_path / "home", {"source": "csv", "csv_dir": str(tmp_path), "tickers": ("AAA",)})
    with Context(settings) as context:
        first = [step for step in steps(settings) if step.name in ("raw_prices", "realized_vol_features")]
        asked = {step.name: [Partition("AAA")] for step in first}
        assert not any(item.failures for item in Executor(State(context)).run(first, asked))
    day, store = wrong.index[300], open_warehouse(settings)
    assert store.read("suspect_days")["date"].tolist() == [day]
    realized = store.read("realized")
    expected = without_suspects(realized.assign(realized_variance=1.0), wrong)["realized_variance"].isna()
    assert (realized["suspect"] == expected).all()
    assert realized.loc[expected, "proxy_variance"].isna().all()
    # The first month has no ratio.
    scaled = ~expected & realized["ratio"].notna()
    assert realized.loc[scaled, "proxy_variance"].notna().all()
    assert expected.sum() == sum(settings.horizons)
    with duckdb.connect(str(settings.database)) as connection:
        connection.execute("DROP TABLE suspect_days")
        connection.execute("UPDATE schema_version SET fingerprint = 'of 0.1.0'")
    assert open_warehouse(settings).read("suspect_days")["date"].tolist() == [day]
