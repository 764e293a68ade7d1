"""CSV files that are right, in all the ways people write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.market.bar_errors import check_bars, require_valid
from volassets.market.bars import BAR_COLUMNS
from volassets.market.calendar import calendar_for
from volassets.market.csv_files import CsvSource
from volassets.market.dates import parse_dates
from volassets.market.findings import Finding
from volassets_tests.conftest import simulate_bars
from volassets_tests.market.bad_inputs import as_csv, good_frame


def fetch(directory: Path, content: bytes, ticker: str = "X", **options: bool) -> pd.DataFrame:
    (directory / f"{ticker}.csv").write_bytes(content)
    return CsvSource(directory, **options).fetch(ticker)


def findings_of(ticker: str, bars: pd.DataFrame, proxy: str = "gk_overnight") -> list[Finding]:
    now = (bars.index[-1] + pd.Timedelta(days=2)).tz_localize("UTC")
    return check_bars(ticker, bars, calendar_for(ticker), now, proxy)[1]


@pytest.fixture
def expected(tmp_path: Path) -> pd.DataFrame:
    """The good file, read in its plainest form."""
    frame = good_frame().round(6)
    bars = frame.assign(adj_close=frame["close"]).set_index(pd.DatetimeIndex(frame["date"]))
    return bars[list(BAR_COLUMNS)].astype("float64")


def test_plain_file(tmp_path: Path, expected: pd.DataFrame) -> None:
    bars = fetch(tmp_path, as_csv(good_frame().round(6)))
    pd.testing.assert_frame_equal(bars, expected, check_index_type=False, rtol=0, atol=0)
    assert bars.index.dtype == "datetime64[ns]"


@pytest.mark.parametrize(
    "layout",
    ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%d-%b-%Y",
     "%d %B %Y", "%b %d, %Y", "%Y-%m-%d 00:00:00", "%Y-%m-%dT00:00:00",
     "%Y-%m-%d 00:00:00-05:00", "%Y-%m-%dT00:00:00.000Z"],
)  # fmt: skip
def test_dates(tmp_path: Path, expected: pd.DataFrame, layout: str) -> None:
    frame = good_frame().round(6)
    bars = fetch(tmp_path, as_csv(frame.assign(date=pd.to_datetime(frame["date"]).dt.strftime(layout))))
    assert list(bars.index) == list(expected.index)


def test_daylight_saving_is_one_time_zone(tmp_path: Path, expected: pd.DataFrame) -> None:
    frame = good_frame().round(6)
    stamps = pd.to_datetime(frame["date"]).dt.tz_localize("America/New_York")
    assert stamps.astype(str).str[-6:].nunique() == 2
    assert list(fetch(tmp_path, as_csv(frame.assign(date=stamps.astype(str)))).index) == list(expected.index)


@pytest.mark.parametrize(
    "encode",
    [
        lambda f: b"\xef\xbb\xbf" + as_csv(f),
        lambda f: as_csv(f).decode().encode("utf-16"),
        lambda f: as_csv(f, sep=";"),
        lambda f: as_csv(f, sep="\t"),
        lambda f: as_csv(f, sep="|"),
        lambda f: as_csv(f, sep=";", decimal=","),
        lambda f: as_csv(f, lineterminator="\r\n"),
        lambda f: as_csv(f).replace(b"\n", b"\n\n", 5) + b"\n\n",
        lambda f: as_csv(f).replace(b",", b", "),
        lambda f: as_csv(f).replace(b"\n", b",\n"),
        lambda f: as_csv(f.rename(columns=str.upper)),
        lambda f: as_csv(f[["volume", "low", "close", "date", "high", "open"]]),
        lambda f: as_csv(f.assign(Dividends=0.0, note="x")),
        lambda f: as_csv(f.assign(**{"Adj Close": f["close"]})),
        lambda f: as_csv(f.assign(adj_close="")),
        lambda f: as_csv(f.rename(columns={"date": ""})),
        lambda f: as_csv(f.rename(columns={"date": "Datetime", "volume": "Vol."})),
        lambda f: as_csv(f, quoting=1),
    ],
)
def test_same_bars_however_written(tmp_path: Path, expected: pd.DataFrame, encode) -> None:
    bars = fetch(tmp_path, encode(good_frame().round(6)))
    pd.testing.assert_frame_equal(bars, expected, check_index_type=False, rtol=0, atol=0)


def test_adjusted_close_is_kept(tmp_path: Path) -> None:
    frame = good_frame()
    bars = fetch(tmp_path, as_csv(frame.assign(adj_close=frame["close"] / 2)))
    np.testing.assert_array_equal(bars["adj_close"], frame["close"] / 2)


def test_currencies_have_no_volume(tmp_path: Path) -> None:
    for frame in (good_frame().drop(columns="volume"), good_frame().assign(volume="")):
        bars = fetch(tmp_path, as_csv(frame), "EURUSD=X")
        assert (bars["volume"] == 0).all()
        checks = {f.check for f in findings_of("EURUSD=X", bars)}
        assert "no_volume" in checks
        assert "off_calendar" not in checks


def test_crypto_trades_at_weekends(tmp_path: Path) -> None:
    days = pd.date_range("2018-01-01", periods=500)
    bars = fetch(
        tmp_path, simulate_bars(500, 4).set_axis(days).rename_axis("Date").reset_index().to_csv().encode(), "BTC-USD"
    )
    assert len(bars) == 500
    assert not {f.check for f in findings_of("BTC-USD", bars)} & {"missing_sessions", "off_calendar"}
    as_stock = [f for f in findings_of("COIN", bars) if f.check == "off_calendar"]
    assert '{"COIN" = "24/7"}' in as_stock[0].message
    assert len(as_stock[0].rows) == (~days.isin(calendar_for("COIN").days)).sum()


def test_close_only_needs_the_proxy_of_closes(tmp_path: Path) -> None:
    content = as_csv(good_frame()[["date", "close"]])
    with pytest.raises(InputError, match='set proxy = "squared_return"'):
        fetch(tmp_path, content)
    bars = fetch(tmp_path, content, close_only=True)
    assert all((bars[name] == bars["close"]).all() for name in ("open", "high", "low", "adj_close"))
    require_valid("X", findings_of("X", bars, "squared_return"))
    with pytest.raises(InputError, match="range proxy measures nothing"):
        require_valid("X", findings_of("X", bars))


def test_known(tmp_path: Path) -> None:
    (tmp_path / "X.csv").write_bytes(as_csv(good_frame()))
    source = CsvSource(tmp_path)
    assert source.known("X")
    assert not source.known("Y")


def test_file_name_in_another_case_and_with_signs(tmp_path: Path) -> None:
    for name, ticker in {
        "^gspc.CSV": "^GSPC",
        "BRK-B.csv": "BRK-B",
        "EURUSD=X.csv": "EURUSD=X",
        "7203.T.csv": "7203.T",
    }.items():
        (tmp_path / name).write_bytes(as_csv(good_frame()))
        assert CsvSource(tmp_path).known(ticker)


def test_reading_a_longer_file_leaves_the_past_alone(tmp_path: Path) -> None:
    frame = good_frame()
    whole = fetch(tmp_path, as_csv(frame))
    for t in (50, 200, 399):
        pd.testing.assert_frame_equal(fetch(tmp_path, as_csv(frame.head(t))), whole.iloc[:t], rtol=0, atol=0)


def test_ambiguity_is_settled_by_any_row_of_the_column() -> None:
    cells = ["01/02/2020", "02/02/2020", "13/02/2020"]
    assert list(parse_dates(cells, [2, 3, 4], "x").strftime("%m%d")) == ["0201", "0202", "0213"]
    cells = ["01/02/2020", "01/03/2020", "01/13/2020"]
    assert list(parse_dates(cells, [2, 3, 4], "x").strftime("%m%d")) == ["0102", "0103", "0113"]
    with pytest.raises(InputError, match="day or the month first"):
        parse_dates(["01/02/2020", "02/02/2020"], [2, 3], "x")
