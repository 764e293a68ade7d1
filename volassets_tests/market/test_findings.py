"""Findings in a few lines, for many tickers too."""

from __future__ import annotations

import pandas as pd

from volassets.market.findings import summary


def test_a_line_per_ticker_and_beyond_ten_one_per_check() -> None:
    few = pd.DataFrame({"ticker": ["B", "A", "A"], "check_name": ["old_bars", "tick_size", "old_bars"]})
    assert summary(few)[:-1] == ["2 warnings about A: old_bars, tick_size", "1 warning about B: old_bars"]
    assert "select ticker, message from data_quality" in summary(few)[-1]
    names = [f"T{number:02}" for number in range(12)]
    many = pd.concat([pd.DataFrame({"ticker": names, "check_name": "old_bars"}), few], ignore_index=True)
    assert summary(many)[:-1] == [
        "14 warnings old_bars: A, B, T00, T01, T02, T03, T04, T05, T06, T07 and 4 more",
        "1 warning tick_size: A",
    ]
    assert summary(few.iloc[:0]) == []
