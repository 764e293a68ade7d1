"""Each check of bars finds its fault with the rows, and nothing in clean bars."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.market.bar_errors import _BASIC_ERRORS, _ERRORS, check_bars, require_valid
from volassets.market.bar_warnings import WARNINGS
from volassets.market.calendar import named_calendar
from volassets.market.findings import Finding
from volassets_tests.conftest import simulate_bars

NEW_YORK = named_calendar("XNYS")
NOW = pd.Timestamp("2020-01-01", tz="UTC")
N = 1500


@pytest.fixture
def bars() -> pd.DataFrame:
    """Clean bars: New York's sessions, and squared returns as large as the proxy."""
    sessions = NEW_YORK.sessions("2012-01-03", "2020-01-01")[:N]
    clean = simulate_bars(N, seed=11).set_axis(sessions)
    return _with_ratio_one(clean)


def _with_ratio_one(bars: pd.DataFrame) -> pd.DataFrame:
    """Widen each day's range about its open and close until the proxy has the level of squared returns."""
    body = bars[["open", "close"]]
    widened = bars.assign(
        high=body.max(axis=1) * (bars["high"] / body.max(axis=1)) ** 1.2,
        low=body.min(axis=1) * (bars["low"] / body.min(axis=1)) ** 1.2,
    )
    return widened


def look(bars: pd.DataFrame, today: pd.Timestamp | None = None, proxy: str = "gk_overnight") -> dict[str, Finding]:
    """Return the findings after the close of `today`, by default the last bar's date."""
    now = ((today or bars.index.max()) + pd.Timedelta(hours=22)).tz_localize("UTC")
    return {finding.check: finding for finding in check_bars("X", bars, NEW_YORK, now, proxy)[1]}


def test_clean_bars_have_no_finding(bars: pd.DataFrame) -> None:
    assert look(bars) == {}
    require_valid("X", [])


def _set(rows: slice | list[int], **columns: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(bars: pd.DataFrame) -> pd.DataFrame:
        for name, value in columns.items():
            bars.iloc[rows, bars.columns.get_loc(name)] = value
        return bars

    return change


def _scaled(rows: slice, factor: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(bars: pd.DataFrame) -> pd.DataFrame:
        bars.iloc[rows, :5] *= factor
        return bars

    return change


def _flattened(bars: pd.DataFrame) -> pd.DataFrame:
    bars.iloc[100:900, :5] = bars.iloc[100:900, 3].to_numpy()[:, None].repeat(5, axis=1)
    return bars


def _repeated_opens(bars: pd.DataFrame) -> pd.DataFrame:
    previous = bars["close"].shift().fillna(bars["open"])
    every_fifth = np.arange(N) % 5 == 0
    opens = bars["open"].where(~every_fifth, previous)
    return bars.assign(open=opens, high=bars["high"].clip(lower=opens), low=bars["low"].clip(upper=opens))


def _still(bars: pd.DataFrame) -> pd.DataFrame:
    bars.iloc[300:330, 3:5] = bars.iloc[300, 3]
    bars["high"] = bars[["open", "high", "close"]].max(axis=1)
    bars["low"] = bars[["open", "low", "close"]].min(axis=1)
    return bars


def _jumping_factor(bars: pd.DataFrame) -> pd.DataFrame:
    bars.iloc[:700, bars.columns.get_loc("adj_close")] /= 1.3
    return bars


def _in_ticks(bars: pd.DataFrame) -> pd.DataFrame:
    ticks = (bars / 100).round(2).clip(lower=0.01)
    return ticks.assign(volume=bars["volume"])


ERRORS = {
    "duplicate_dates": (lambda b: b.iloc[[*range(50), 49, *range(50, N)]], 2),
    "unsorted_dates": (lambda b: b.iloc[[*range(50), 51, 50, *range(52, N)]], 1),
    "future_dates": (lambda b: b.set_axis([*b.index[:-1], b.index[-1] + pd.Timedelta(days=9)]), 1),
    "not_finite": (_set([7, 9], low=np.nan, high=np.inf), 2),
    "not_positive": (_set([7], low=-1.0), 1),
    "impossible_bars": (_set([7, 8], high=1e-6), 2),
    "irregular_spacing": (lambda b: b.iloc[::5], 299),
    "constant_price": (lambda b: b.assign(open=5.0, high=6.0, low=4.0, close=5.0, adj_close=5.0), 5),
    "no_ranges": (_flattened, 800),
    "realized_unit": (lambda b: b.assign(realized_variance=2.5), N),
}
CASES = {
    "missing_sessions": (lambda b: b.drop(b.index[[50, 51, 70]]), 3),
    "trading_halt": (lambda b: b.drop(b.index[100:300]), 1),
    "off_calendar": (lambda b: b.set_axis(pd.date_range(b.index[0], periods=N)), 467),
    "calendar_ends": (lambda b: b.set_axis(pd.bdate_range("1988-01-04", periods=N)), 520),
    "stale_opens": (_repeated_opens, 299),
    "zero_ranges": (_set([5, 6], open=90.0, high=90.0, low=90.0, close=90.0, adj_close=90.0), 2),
    "suspected_split": (_scaled(slice(0, 700), 1 / 0.45), 1),
    "suspect_range": (_set([400], low=1.0), 1),
    "suspect_adjustment": (_jumping_factor, 1),
    "tick_size": (_in_ticks, 534),
    "proxy_ratio": (lambda b: b.assign(high=b[["open", "close"]].max(axis=1), low=b[["open", "close"]].min(axis=1)), 0),
    "stale_closes": (_still, 29),
    "no_volume": (_set(slice(200, 900), volume=0.0), 700),
}


@pytest.mark.parametrize("check", ERRORS)
def test_errors_are_found_with_their_rows(bars: pd.DataFrame, check: str) -> None:
    change, count = ERRORS[check]
    today = bars.index[-1]
    findings = look(change(bars), today=today)
    assert set(findings) == {check}
    assert findings[check].severity == "error"
    assert len(findings[check].rows) == count
    assert findings[check].rows.columns[0] == "date"
    with pytest.raises(InputError, match="Nothing was stored for X"):
        require_valid("X", list(findings.values()))


@pytest.mark.parametrize("check", CASES)
def test_warnings_are_found_with_their_rows(bars: pd.DataFrame, check: str) -> None:
    change, count = CASES[check]
    findings = look(change(bars))
    assert check in findings
    assert findings[check].severity == "warning"
    assert findings[check].message.startswith("X: ")
    assert len(findings[check].rows) == count
    require_valid("X", list(findings.values()))


def test_every_check_is_tested() -> None:
    # The other proxies do not need it: see test_realized_variance.
    assert {*ERRORS, "no_realized_variance"} == {*_BASIC_ERRORS, *_ERRORS}
    assert set(CASES) | {"old_bars", "guessed_calendar"} == set(WARNINGS)


def test_age_counts_sessions_and_leaves_today_out(bars: pd.DataFrame) -> None:
    following = NEW_YORK.sessions(bars.index[-1], "2020-01-01")[1:]
    assert "old_bars" not in look(bars, today=following[5])
    assert "6 sessions ago" in look(bars, today=following[6])["old_bars"].message


def test_halt_counts_sessions(bars: pd.DataFrame) -> None:
    findings = look(bars.drop(bars.index[100:300]))
    assert findings["trading_halt"].rows["sessions_before"].tolist() == [200]
    assert findings["missing_sessions"].rows["sessions_in_gap"].unique().tolist() == [200]


def test_unadjusted_split_names_move_and_day(bars: pd.DataFrame) -> None:
    finding = look(_scaled(slice(0, 700), 1 / 0.45)(bars.copy()))["suspected_split"]
    assert finding.rows["date"].tolist() == [bars.index[700]]
    assert "-5" in finding.message
    # The same split, with adjusted closes that know of it, is none.
    adjusted = bars.copy()
    adjusted.iloc[:700, :4] /= 0.45
    assert "suspected_split" not in look(adjusted)


@pytest.mark.parametrize("column", ["open", "high", "low"])
@pytest.mark.parametrize("factor", [0.01, 0.7, 1.3, 100])
def test_one_wrong_price_is_a_suspect_range(bars: pd.DataFrame, column: str, factor: float) -> None:
    bars.iloc[900, bars.columns.get_loc(column)] *= factor
    bars["high"], bars["low"] = bars[["open", "high", "close"]].max(axis=1), bars[["open", "low", "close"]].min(axis=1)
    findings = look(bars)
    wrong = (column, factor < 1) not in {("high", True), ("low", False)}
    assert ("suspect_range" in findings) is wrong
    assert "proxy_ratio" not in findings
    if wrong:
        assert findings["suspect_range"].rows["date"].tolist() == [bars.index[900]]


def test_a_price_halved_by_news_is_no_split(bars: pd.DataFrame) -> None:
    halved = _scaled(slice(0, 700), 2)(bars.copy())
    assert "suspected_split" in look(halved)
    halved.iloc[700, halved.columns.get_loc("volume")] *= 20
    assert "suspected_split" not in look(halved)


def test_crashes_and_flash_crashes_are_no_suspects(bars: pd.DataFrame) -> None:
    usual = (bars["high"] / bars["low"]).median() - 1
    flash = bars.copy()
    flash.iloc[900, 2] = flash.iloc[900, 3] * (1 - 8 * usual)
    crash = bars.copy()
    crash.iloc[900:, :5] *= 0.6
    crash.iloc[900, :2] = bars.iloc[900, :2]
    for history in (flash, crash):
        assert "suspect_range" not in look(history)


def test_dividends_paid_are_no_finding_and_one_in_pence_is(bars: pd.DataFrame) -> None:
    paid, pence, twice = bars.copy(), bars.copy(), bars.copy()
    for history, counted in ((paid, 0.02), (twice, 0.16), (pence, 0.5)):
        dividend = 0.08 if history is twice else 0.02
        history.iloc[700:, :4] *= 1 - dividend
        history["adj_close"] = history["close"]
        history.iloc[:700, 4] *= 1 - counted
    assert "suspect_adjustment" not in look(paid)
    for history in (pence, twice):
        finding = look(history)["suspect_adjustment"]
        assert finding.rows["date"].tolist() == [bars.index[700]]
        assert finding.message.count("%") == 2


def test_dividend_is_no_stale_open_and_no_split(bars: pd.DataFrame) -> None:
    bars.iloc[:700, bars.columns.get_loc("adj_close")] *= 0.97
    assert look(bars) == {}


def test_all_of_the_volume_may_be_missing(bars: pd.DataFrame) -> None:
    assert "no volume at all" in look(bars.assign(volume=0.0))["no_volume"].message


def test_rounding_of_a_vendor_is_no_error(bars: pd.DataFrame) -> None:
    bars["high"] = bars[["high", "close"]].max(axis=1) * (1 - 1e-7)
    assert not [finding for finding in look(bars).values() if finding.severity == "error"]


def test_proxy_of_closes_asks_nothing_of_ranges(bars: pd.DataFrame) -> None:
    flat = bars.assign(**dict.fromkeys(("open", "high", "low"), bars["close"]))
    assert look(flat, proxy="squared_return") == {}
    assert set(look(flat)) == {"no_ranges"}


def test_proxy_ratio_is_that_of_the_features(sp500_bars: pd.DataFrame) -> None:
    from volassets.features.feature_table import build_features

    features = build_features(sp500_bars, NEW_YORK)
    share = features["proxy_variance"].sum() / (features["return"] ** 2).sum()
    assert f"averages {share:.2f} " in look(sp500_bars)["proxy_ratio"].message
    assert f"{share:.2f}" == "0.62"


def test_bundled_histories_raise_the_known_warnings_only(sp500_bars: pd.DataFrame, nasdaq_bars: pd.DataFrame) -> None:
    assert set(look(sp500_bars)) == {"stale_opens", "proxy_ratio"}
    assert set(look(nasdaq_bars)) == {"proxy_ratio"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.drop(columns="low"), "lack the column low"),
        (lambda b: b.tz_localize("UTC"), "without time zone"),
        (lambda b: b.reset_index(drop=True), "index of session dates"),
        (lambda b: b.set_axis(b.index + pd.Timedelta(hours=16)), "times of day"),
        (lambda b: b.astype({"close": str}), "something else than numbers"),
        (lambda b: b.head(1), "only one bar"),
        (lambda b: b.head(0), "no bar"),
    ],
)
def test_other_shapes_are_refused(bars: pd.DataFrame, change, message: str) -> None:
    findings = check_bars("X", change(bars), NEW_YORK, NOW, "gk_overnight")[1]
    assert [finding.check for finding in findings] == ["shape"]
    with pytest.raises(InputError, match=message):
        require_valid("X", findings)
