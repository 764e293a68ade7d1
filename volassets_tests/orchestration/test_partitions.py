"""Which months there are, and what a run that repeats another says of itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from volassets.market.bundled import LAST_MONTH, BundledSource
from volassets.market.calendar import calendar_for
from volassets.orchestration.jobs import repeat_tags
from volassets.orchestration.partitions import partitions_of
from volassets.pipeline.cells import Scope
from volassets.settings import Settings, TickerSource
from volassets.timing import last_possible_month


def _months(**values: object) -> list[str]:
    partitions = partitions_of(Settings(**values), Scope.MONTH)  # type: ignore[arg-type]
    assert partitions is not None
    return list(partitions.get_partition_keys())


def test_months_end_where_the_bundled_bars_do() -> None:
    tickers = ("^GSPC", "^IXIC", "AAPL", "GOOG")
    possible = [last_possible_month(BundledSource().fetch(ticker).index, calendar_for(ticker)) for ticker in tickers]
    assert max(possible) == pd.Timestamp(LAST_MONTH)
    assert _months(start_month="2018-11", tickers=tickers) == ["2018-11-01", "2018-12-01", "2019-01-01"]


@pytest.mark.parametrize(
    "values",
    [
        {"sources": {"ACME": TickerSource(source="csv", csv_dir="prices")}, "tickers": ("^GSPC", "ACME")},
        {"source": "yfinance"},
        {"start_month": "2019-02"},
    ],
    ids=["one of a file", "of a service", "after the bundled bars"],
)
def test_months_go_on_where_bars_may_be_added(values: dict[str, object]) -> None:
    assert _months(**values)[-1] > "2026-01-01"


@pytest.mark.parametrize(
    ("tags", "parent", "said"),
    [
        ({"volassets/started_by": "command line"}, "12345678-abcd", "re-execution of 12345678"),
        ({"volassets/started_by": "daily_update", "dagster/retry_number": "1"}, "12345678-abcd", "retry of 12345678"),
        ({"volassets/started_by": "command line"}, None, None),
        ({}, "12345678-abcd", None),
    ],
)
def test_a_run_that_repeats_another_does_not_say_who_started_that(
    tags: Mapping[str, str], parent: str | None, said: str | None
) -> None:
    run = dg.DagsterRun(job_name="refit_months", tags=tags, parent_run_id=parent, root_run_id=parent)
    assert repeat_tags(run).get("volassets/started_by") == said


def test_the_definitions_of_a_home_with_a_portfolio_warn_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "volassets.toml").write_text('[portfolios.book]\n"^GSPC" = 1.0\n', "utf-8")
    # In a process of its own, because pytest sets the filters again.
    command = [sys.executable, "-c", "from volassets.definitions import defs; defs()"]
    environment = {**os.environ, "VOLASSETS_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "Warning" not in done.stderr
