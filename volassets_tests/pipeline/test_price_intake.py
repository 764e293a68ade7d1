"""Bars in: what is read, and how often."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from volassets.market.csv_files import CsvSource
from volassets.pipeline.context import Context
from volassets.pipeline.partition_result import by_table
from volassets.pipeline.price_intake import changes_of, fetch, reason_to_fetch
from volassets.settings import load_settings
from volassets_tests.conftest import simulate_bars

NOW = datetime(2010, 1, 4, tzinfo=UTC)


class CountingSource(CsvSource):
    """A directory of files that counts its readings."""

    readings = 0

    def fetch(self, ticker: str) -> pd.DataFrame:
        self.readings += 1
        return super().fetch(ticker)


def test_a_changed_file_is_read_once_and_an_unchanged_one_is_not_taken(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("VOLASSETS_HOME", str(tmp_path / "home"))
    settings = load_settings(overrides={"tickers": ["X"], "source": "csv", "csv_dir": str(tmp_path)})
    bars = simulate_bars(900, seed=6)
    bars.iloc[:800].to_csv(tmp_path / "X.csv")
    for rows, reason in ((800, "no bars stored yet"), (900, "differ from the stored ones"), (900, "")):
        bars.iloc[:rows].to_csv(tmp_path / "X.csv")
        source = CountingSource(tmp_path)
        context = Context(settings, source=source, now=NOW)
        asked = reason_to_fetch(context, "X")
        assert reason in asked
        assert bool(reason) is bool(asked)
        if reason:
            answer = fetch(context, "X")
            assert len(answer.update.bars) == rows
            context.warehouse.write(*by_table(changes_of(context, "X", answer)))
        assert source.readings == 1
