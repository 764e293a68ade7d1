"""`volassets run --csv-dir DIR` without a ticker: every file is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from volassets.commands.run import files_as_tickers
from volassets.errors import InputError


def test_every_file_is_a_ticker_and_the_rest_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (*(f"T{number:02}.csv" for number in range(12)), "M&M.NS.parquet", "notes.txt", "~lock.csv"):
        (tmp_path / name).write_text("")
    assert files_as_tickers(str(tmp_path)) == ["M&M.NS", *(f"T{number:02}" for number in range(12))]
    assert capsys.readouterr().out.splitlines() == [
        f"13 files of {tmp_path} are taken: M&M.NS, T00, T01, T02, T03, T04, T05, T06, T07, T08 and 3 more",
        "2 are no TICKER.csv or TICKER.parquet, and left out: notes.txt, ~lock.csv",
    ]


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no file"):
        files_as_tickers(str(tmp_path))
