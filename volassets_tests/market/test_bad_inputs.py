"""Wrong files and wrong names: each is refused with its reason, and nothing is left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.market.bar_errors import check_bars, require_valid
from volassets.market.calendar import calendar_for
from volassets.market.csv_files import CsvSource
from volassets_tests.market.bad_inputs import BadFile, as_csv, bad_files, good_frame

TABLE = bad_files()
HOSTILE_NAMES = (
    "", ".", "..", "../x", "..\\x", "/etc/passwd", "a/b", "a\\b", "C:x", "x'; drop table raw_prices; --", 'x"y', "A|B",
    "A,B", "A[B]", "a b", "a\nb", "a\0b", "$HOME", "*", "-rf", "=1+1", "A" * 300, "Ü", "ＡＡＰＬ", "😀", "x\u202e",
)  # fmt: skip


def take_in(directory: Path, ticker: str) -> None:
    """Do what the price stage does before it writes."""
    bars = CsvSource(directory).fetch(ticker)
    _, findings = check_bars(ticker, bars, calendar_for(ticker), pd.Timestamp("2020-01-01", tz="UTC"), "gk_overnight")
    require_valid(ticker, findings)


def test_the_good_file_passes(tmp_path: Path) -> None:
    (tmp_path / "X.csv").write_bytes(as_csv(good_frame()))
    take_in(tmp_path, "X")


def test_the_table_is_long_and_names_are_unique() -> None:
    assert len({bad.name for bad in TABLE}) == len(TABLE) >= 30


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
def test_bad_file_is_refused(tmp_path: Path, bad: BadFile) -> None:
    (tmp_path / "X.csv").write_bytes(bad.content)
    with pytest.raises(InputError) as refused:
        take_in(tmp_path, "X")
    assert bad.message in str(refused.value)
    assert "X" in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["X.csv"]


@pytest.mark.parametrize("ticker", HOSTILE_NAMES, ids=ascii)
def test_hostile_name_is_refused(tmp_path: Path, ticker: str) -> None:
    inside = tmp_path / "prices"
    inside.mkdir()
    (tmp_path / "x.csv").write_bytes(as_csv(good_frame()))
    source = CsvSource(inside)
    with pytest.raises(InputError, match="not a valid name") as refused:
        source.fetch(ticker)
    assert len(str(refused.value)) < 400
    assert not source.known(ticker)


def test_directory_missing_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for wrong in (tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(InputError, match="is not a directory"):
            CsvSource(wrong)


def test_no_file_of_that_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no file AAPL\.csv"):
        CsvSource(tmp_path).fetch("AAPL")


def test_files_differing_in_case_only(tmp_path: Path) -> None:
    for name in ("aapl.csv", "Aapl.csv"):
        (tmp_path / name).write_bytes(as_csv(good_frame()))
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system ignores case")
    with pytest.raises(InputError, match="differ in case only"):
        CsvSource(tmp_path).fetch("AAPL")


def test_a_directory_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "X.csv").mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        CsvSource(tmp_path).fetch("X")


def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "X.csv")
    with pytest.raises(InputError, match="not a regular file"):
        CsvSource(tmp_path).fetch("X")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "X.csv").write_bytes(as_csv(good_frame()))
    (tmp_path / "X.csv").chmod(0)
    with pytest.raises(InputError, match=r"cannot be read.*Check the file and its permissions"):
        CsvSource(tmp_path).fetch("X")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file whose reading fails even for root")
def test_failing_disk(tmp_path: Path) -> None:
    (tmp_path / "X.csv").symlink_to("/proc/self/mem")
    with pytest.raises(InputError, match="cannot be read"):
        CsvSource(tmp_path).fetch("X")


def test_a_broken_link(tmp_path: Path) -> None:
    (tmp_path / "X.csv").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="not a regular file"):
        CsvSource(tmp_path).fetch("X")


def test_a_file_of_another_size_class(tmp_path: Path) -> None:
    with (tmp_path / "X.csv").open("wb") as file:
        file.truncate(100_000_001)
    with pytest.raises(InputError, match="larger than"):
        CsvSource(tmp_path).fetch("X")
