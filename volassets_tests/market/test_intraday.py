"""Intraday bars become daily bars whose realized variance equals a plain loop over the same prices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.market.calendar import named_calendar, schedule
from volassets.market.intraday import daily_bars

NEW_YORK = named_calendar("XNYS")
EARLY = pd.Timestamp("2019-12-24")


def intraday_bars(minutes: int = 1, calendar=NEW_YORK, start: str = "2019-12-16", end: str = "2020-01-03"):
    """Return simulated bars of every session, stamped by their start in the exchange's time."""
    rng, level, parts = np.random.default_rng(5), np.log(100), []
    sessions = schedule(calendar, pd.Timestamp(start).date(), pd.Timestamp(end).date())
    for row in sessions.itertuples():
        level += 0.003 * rng.standard_normal()
        count = int((row.closes - row.opens) / pd.Timedelta(minutes=minutes))
        path = level + np.cumsum(5e-4 * np.sqrt(minutes) * rng.standard_normal(count))
        before, level = np.append(level, path[:-1]), path[-1]
        stamps = pd.date_range(row.opens, periods=count, freq=f"{minutes}min").tz_localize("UTC")
        parts.append(
            pd.DataFrame(
                {
                    "timestamp": stamps.tz_convert(calendar.zone).tz_localize(None),
                    "open": np.exp(before),
                    "high": np.exp(np.maximum(before, path)),
                    "low": np.exp(np.minimum(before, path)),
                    "close": np.exp(path),
                    "volume": 10.0,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def written(frame: pd.DataFrame, folder: Path, name: str = "X.csv") -> Path:
    file = folder / name
    if file.suffix == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False)
    return file


def by_loop(day: pd.DataFrame, minutes: int) -> tuple[float, float]:
    """Return realized variance and bipower variation of one session, grid by grid."""
    prices = np.log(np.append(day["open"].iloc[0], day["close"]))
    step = max(5 // minutes, 1)
    squares, products, n_squares, n_products = 0.0, 0.0, 0, 0
    for offset in range(step):
        grid = prices[offset::step]
        returns = np.diff(grid)
        for i, value in enumerate(returns):
            squares, n_squares = squares + value**2, n_squares + 1
            if i:
                products, n_products = products + abs(value) * abs(returns[i - 1]), n_products + 1
    length = len(prices) - 1
    return squares / step * length / n_squares, np.pi / 2 * products / step * length / n_products


@pytest.mark.parametrize("minutes", [1, 2, 5, 10, 30])
def test_realized_variance_equals_a_plain_loop(tmp_path, minutes):
    bars = intraday_bars(minutes)
    days = daily_bars(written(bars, tmp_path), NEW_YORK).bars
    close = None
    assert EARLY in days.index
    for date, day in bars.groupby(bars["timestamp"].dt.normalize()):
        realized, bipower = by_loop(day, minutes)
        assert days.loc[date, "bipower_variation"] == pytest.approx(bipower, rel=1e-12)
        if close is not None:
            overnight = np.log(day["open"].iloc[0] / close) ** 2
            assert days.loc[date, "realized_variance"] == pytest.approx(realized + overnight, rel=1e-12)
        close = day["close"].iloc[-1]
        expected = [day["open"].iloc[0], day["high"].max(), day["low"].min(), close, day["volume"].sum(), len(day)]
        columns = ["open", "high", "low", "close", "volume", "n_bars"]
        np.testing.assert_allclose(days.loc[date, columns].to_numpy(float), expected, rtol=1e-12)
    assert np.isnan(days["realized_variance"].iloc[0])


def test_every_form_of_the_same_bars_gives_the_same_days(tmp_path):
    bars = intraday_bars()
    expected = daily_bars(written(bars, tmp_path), NEW_YORK).bars
    local = bars["timestamp"].dt.tz_localize(NEW_YORK.zone)
    forms = {
        "ends.csv": bars.assign(timestamp=bars["timestamp"] + pd.Timedelta(minutes=1)),
        "zone.csv": bars.assign(timestamp=local),
        "utc.parquet": bars.assign(timestamp=local.dt.tz_convert("UTC")),
        "columns.csv": bars.assign(
            Date=bars["timestamp"].dt.strftime("%Y-%m-%d"), Time=bars["timestamp"].dt.strftime("%H:%M:%S")
        ).drop(columns="timestamp"),
        "night.csv": pd.concat([bars, bars.tail(1).assign(timestamp=bars["timestamp"].iloc[-1] + pd.Timedelta("4h"))]),
        "shuffled.csv": bars.sample(frac=1, random_state=1),
    }
    for name, frame in forms.items():
        days = daily_bars(written(frame, tmp_path, name), NEW_YORK)
        pd.testing.assert_frame_equal(days.bars, expected, check_exact=False, rtol=1e-12, obj=name)
        assert (name == "ends.csv") == ("stamps are the ends of the bars" in days.notes)
        assert (name == "night.csv") == any("outside the sessions" in note for note in days.notes)


def test_later_bars_change_no_earlier_day(tmp_path):
    bars = intraday_bars()
    whole = daily_bars(written(bars, tmp_path), NEW_YORK).bars
    cut = bars[bars["timestamp"] < pd.Timestamp("2019-12-27")]
    pd.testing.assert_frame_equal(daily_bars(written(cut, tmp_path), NEW_YORK).bars, whole.loc[:"2019-12-26"])


def test_incomplete_days_are_named_and_left_out_and_quiet_minutes_are_not(tmp_path):
    bars = intraday_bars()
    day = bars["timestamp"].dt.normalize()
    late = (day == pd.Timestamp("2019-12-18")) & (bars["timestamp"].dt.hour < 12)
    quiet = (day == pd.Timestamp("2019-12-19")) & (bars["timestamp"].dt.minute % 5 > 1)
    days = daily_bars(written(bars[~late & ~quiet], tmp_path), NEW_YORK)
    (note,) = [note for note in days.notes if "incomplete" in note]
    assert "1 incomplete days" in note
    assert "2019-12-18 (62%)" in note
    assert pd.Timestamp("2019-12-18") not in days.bars.index
    assert pd.Timestamp("2019-12-19") in days.bars.index


def test_a_market_without_a_close_is_a_day_in_utc(tmp_path):
    always = named_calendar("24/7")
    bars = intraday_bars(30, always, "2020-02-27", "2020-03-02")
    days = daily_bars(written(bars, tmp_path), always).bars
    assert list(days["n_bars"].unique()) == [48]
    assert pd.Timestamp("2020-02-29") in days.index


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda bars: bars.drop(columns="close"), ("no column close", "it has timestamp, open")),
        (lambda bars: bars.drop(columns="timestamp"), ("no column timestamp",)),
        (lambda bars: bars.assign(low=bars["low"].where(bars.index != 7, 0.0)), ("14:37", "zero", "remove it")),
        (lambda bars: bars.assign(high=bars["high"].where(bars.index != 7, 1.0)), ("outside low to high",)),
        (lambda bars: pd.concat([bars, bars.iloc[[3]]]), ("more than once",)),
        (lambda bars: bars.iloc[::60], ("60 minutes apart", "1 to 30")),
        (lambda bars: bars.assign(timestamp=bars["timestamp"] + pd.Timedelta("7h")), ("complete days", "time zone")),
        (lambda bars: bars.head(390), ("1 complete days of 1",)),
        (lambda bars: bars.assign(close="x"), ("cannot be read",)),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path, change, parts):
    with pytest.raises(InputError) as refused:
        daily_bars(written(change(intraday_bars()), tmp_path), NEW_YORK)
    for part in ("X.csv", *parts):
        assert part in str(refused.value)
