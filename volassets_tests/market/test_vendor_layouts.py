"""Files as vendors write them, each read in its one reading, which is given in a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.market.csv_files import CsvSource
from volassets.market.price_tables import read_bars
from volassets_tests.market.bad_inputs import as_csv, good_frame

FILES = Path(__file__).parent / "files"
ABOVE = "1 line above the header left out"


def read(content: bytes) -> pd.DataFrame:
    return read_bars(content.decode(), "X.csv")


@pytest.mark.parametrize(
    ("name", "rows", "first", "close", "volume", "reading"),
    [
        ("stooq-bulk", 5, "2019-01-02", 48.943382, 571360, ""),
        ("date-and-time", 3, "2019-01-02", 50.0, 1000, ""),
        ("excel-separator", 4, "2019-01-02", 48.943382, 571360, f"{ABOVE}; the comma separates decimals"),
        ("two-volumes", 4, "2020-01-01", 19273.46, 860.96, f"{ABOVE}; Volume BTC is the volume, not Volume USD"),
        ("yfinance-download", 5, "2019-01-02", 48.943382, 571360, "3 header lines of yfinance"),
    ],
)  # fmt: skip
def test_files_of_vendors(name: str, rows: int, first: str, close: float, volume: float, reading: str) -> None:
    bars = CsvSource(FILES).fetch(name)
    assert len(bars) == rows
    assert bars.index[0] == pd.Timestamp(first)
    assert bars.iloc[0][["close", "volume"]].tolist() == [close, volume]
    assert bars.attrs["reading"] == reading


def test_nasdaq_com() -> None:
    frame = good_frame().round(2).iloc[::-1]
    written = pd.DataFrame({"Date": pd.to_datetime(frame["date"]).dt.strftime("%m/%d/%Y")})
    written["Close/Last"] = [f"${value}" for value in frame["close"]]
    written["Volume"] = frame["volume"].astype(int)
    for name in ("open", "high", "low"):
        written[name.title()] = [f"${value:,}" for value in 100 * frame[name]]
    bars = read(as_csv(written))
    assert bars.attrs["reading"] == "newest first, reversed; Close/Last is the close; the comma separates thousands"
    np.testing.assert_array_equal(bars["close"], frame["close"].iloc[::-1])
    np.testing.assert_array_equal(bars["high"], 100 * frame["high"].iloc[::-1])
    assert bars.index.is_monotonic_increasing


@pytest.mark.parametrize("decimal", [".", ","])
def test_investing_com(decimal: str) -> None:
    frame = good_frame().round(2).iloc[::-1]
    written = pd.DataFrame({"Date": pd.to_datetime(frame["date"]).dt.strftime("%b %d, %Y")})
    for title, name in {"Price": "close", "Open": "open", "High": "high", "Low": "low"}.items():
        written[title] = frame[name]
    written["Vol."] = [f"{value / 1e6:.2f}M" for value in frame["volume"]]
    written["Change %"] = "-1.25%"
    written["Vol."] = written["Vol."].str.replace(".", decimal)
    bars = read(as_csv(written, decimal=decimal, quoting=1, sep=";" if decimal == "," else ","))
    expected = "newest first, reversed; Price is the close; volume in M"
    assert bars.attrs["reading"] == expected + ("; the comma separates decimals" if decimal == "," else "")
    np.testing.assert_allclose(bars["volume"], frame["volume"].iloc[::-1], atol=5001)
    np.testing.assert_array_equal(bars["close"], frame["close"].iloc[::-1])


def test_volumes_in_thousands_and_groups_in_all_their_forms() -> None:
    frame = good_frame().round(4)
    expected = frame["close"] * 1000
    for form in ("{:,.1f}", "{:,.1f}'", "{:,.1f} "):
        sign = form[-1] if form[-1] in "' " else ","
        cells = [form.rstrip("' ").format(value).replace(",", sign) for value in expected]
        scaled = dict.fromkeys(("open", "high", "low", "close"), cells)
        np.testing.assert_allclose(read(as_csv(frame.assign(**scaled)))["close"], expected, atol=0.051)
    german = [f"{value:,.1f}".translate(str.maketrans(",.", ".,")) for value in expected]
    bars = read(
        as_csv(frame.astype({"volume": int}).assign(open=german, high=german, low=german, close=german), sep=";")
    )
    np.testing.assert_allclose(bars["close"], expected, atol=0.051)


def test_alpha_vantage_and_tiingo() -> None:
    frame = good_frame()
    vantage = frame.rename(columns=lambda name: {"date": "timestamp"}.get(name, f"4. {name}")).assign(
        **{"5. adjusted close": frame["close"] / 2, "8. split coefficient": 1.0}
    )
    tiingo = frame.assign(adjClose=frame["close"] / 2, adjOpen=1.0, divCash=0.0)
    for written in (vantage, tiingo):
        np.testing.assert_array_equal(read(as_csv(written))["adj_close"], frame["close"] / 2)


def test_an_empty_volume_is_no_number_yet_and_another_time_than_midnight_is_intraday() -> None:
    frame = good_frame().astype(object)
    frame.loc[[7, 99], "volume"] = ""
    assert np.flatnonzero(read(as_csv(frame))["volume"].isna()).tolist() == [7, 99]
    timed = good_frame()
    timed.insert(1, "Time", ["00:00"] * 50 + ["15:30"] * (len(timed) - 50))
    with pytest.raises(InputError, match=r"line 52: the time '15:30' is not midnight, so the bars are intraday"):
        read(as_csv(timed))


def test_a_disclaimer_may_stand_above_the_header() -> None:
    text = b"Data provided as is, without warranty\nSource: somebody, close prices\n\n"
    bars = read(text + as_csv(good_frame()))
    assert bars.attrs["reading"] == "3 lines above the header left out"
    with pytest.raises(InputError, match="line 105: open = 'abc'"):
        read(text + as_csv(good_frame().astype(object).assign(open=["abc" if i == 100 else 1 for i in range(400)])))


def test_two_readings_are_refused_with_both() -> None:
    frame = good_frame().astype({"volume": int})
    whole = [f"{1000 * value:,.0f}" for value in frame["close"]]
    with pytest.raises(InputError, match=r"may separate thousands or decimals, \d{6} or \d{3}\.\d{3}\."):
        read(as_csv(frame.assign(open=whole, high=whole, low=whole, close=whole), sep=";"))
    few = frame.head(8).assign(date=[f"0{i + 1}/02/2015" for i in range(8)])
    with pytest.raises(InputError, match="as 2015-02-01 or 2015-01-02"):
        read(as_csv(few))


def test_several_bars_a_day_are_intraday() -> None:
    frame = good_frame()
    stamps = [f"{day} {hour:02}:30:00" for day in frame["date"][:200] for hour in (10, 11)]
    with pytest.raises(InputError, match="intraday"):
        read(as_csv(frame.assign(date=stamps)))


def test_parquet_works_like_csv(tmp_path: Path) -> None:
    frame = good_frame()
    (tmp_path / "X.csv").write_bytes(as_csv(frame))
    dated = frame.assign(date=pd.to_datetime(frame["date"])).set_index("date")
    for name, written in {"Y": dated, "Z": dated.rename(columns=str.title).reset_index()}.items():
        written.to_parquet(tmp_path / f"{name}.parquet")
        pd.testing.assert_frame_equal(CsvSource(tmp_path).fetch(name), CsvSource(tmp_path).fetch("X"), rtol=0, atol=0)
    (tmp_path / "W.parquet").write_bytes(b"PAR1 and nothing else")
    (tmp_path / "V.parquet").write_bytes(b"date,close")
    for name, problem in {"W": "not readable as Parquet", "V": "no Parquet file"}.items():
        with pytest.raises(InputError, match=problem):
            CsvSource(tmp_path).fetch(name)


def test_a_directory_lists_its_tickers_and_what_it_leaves(tmp_path: Path) -> None:
    for name in ("AAPL.csv", "^GSPC.CSV", "M&M.NS.parquet", "notes.txt", "a b.csv"):
        (tmp_path / name).write_text("")
    assert CsvSource(tmp_path).listed() == (["AAPL", "M&M.NS", "^GSPC"], ["a b.csv", "notes.txt"])
    (tmp_path / "AAPL.parquet").write_text("")
    with pytest.raises(InputError, match=r"has AAPL\.csv and AAPL\.parquet, which hold the same ticker"):
        CsvSource(tmp_path).fetch("AAPL")
