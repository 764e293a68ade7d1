"""A file's own realized variance: read, checked for its unit, stored, and used as the proxy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.features.feature_table import build_features
from volassets.market.bar_errors import check_bars
from volassets.market.bars import REALIZED
from volassets.market.calendar import named_calendar
from volassets.market.csv_files import CsvSource
from volassets.market.revisions import update_bars
from volassets_tests.conftest import simulate_bars

NEW_YORK = named_calendar("XNYS")
NOW = pd.Timestamp("2020-01-01", tz="UTC")


def measured_bars(n: int = 700) -> pd.DataFrame:
    """Return bars with a realized variance of their own: a noisy square of the day's return level."""
    bars = simulate_bars(n, seed=4)
    noise = np.exp(0.3 * np.random.default_rng(9).standard_normal(n))
    return bars.assign(**{REALIZED: np.log(bars["high"] / bars["low"]) ** 2 / 2.8 * noise})


def errors(bars: pd.DataFrame, proxy: str = "realized") -> dict[str, str]:
    _, findings = check_bars("X", bars, NEW_YORK, NOW, proxy)
    return {finding.check: finding.message for finding in findings if finding.severity == "error"}


def test_the_proxy_is_the_measure_itself():
    bars = measured_bars()
    table = build_features(bars, NEW_YORK, proxy="realized")
    np.testing.assert_array_equal(table["proxy_variance"][1:], bars[REALIZED][1:])
    with pytest.raises(InputError, match=r'needs bars with the column realized_variance.*proxy = "gk_overnight"'):
        build_features(bars.drop(columns=REALIZED), NEW_YORK, proxy="realized")


def test_later_bars_change_no_row():
    bars = measured_bars()
    cut = build_features(bars[:500], NEW_YORK, proxy="realized")
    pd.testing.assert_frame_equal(cut, build_features(bars, NEW_YORK, proxy="realized")[:500], rtol=0, atol=0)


def test_other_proxies_do_not_see_it():
    bars = measured_bars()
    pd.testing.assert_frame_equal(build_features(bars, NEW_YORK), build_features(bars.drop(columns=REALIZED), NEW_YORK))
    assert errors(bars, "gk_overnight") == {}


def test_a_day_without_it_is_an_error_where_it_is_the_proxy():
    bars = measured_bars()
    assert errors(bars) == {}
    bars.iloc[[40, 50], bars.columns.get_loc(REALIZED)] = [np.nan, 0.0]
    assert errors(bars, "gk_overnight") == {}
    message = errors(bars)["no_realized_variance"]
    assert f"{bars.index[40]:%Y-%m-%d}, {bars.index[50]:%Y-%m-%d}" in message
    assert "the bars have none" in errors(bars.drop(columns=REALIZED))["no_realized_variance"]


@pytest.mark.parametrize(
    ("unit", "other"),
    [
        ("annualised volatility", lambda v: np.sqrt(252 * v)),
        ("annualised volatility in percent", lambda v: 100 * np.sqrt(252 * v)),
        ("annualised variance", lambda v: 252 * v),
        ("daily volatility", np.sqrt),
        ("daily volatility in percent", lambda v: 100 * np.sqrt(v)),
        ("daily variance in percent squared", lambda v: 1e4 * v),
    ],
)
def test_another_unit_is_refused_with_the_likely_mistake(unit, other):
    bars = measured_bars()
    message = errors(bars.assign(**{REALIZED: other(bars[REALIZED])}))["realized_unit"]
    likely = message.partition("looks like ")[2].partition(".")[0].split(" or ")
    assert unit in likely
    assert ("realized_unit" in message) == (unit == "annualised volatility")


@pytest.mark.parametrize("layout", ["column", "own file", "own parquet"])
def test_a_file_gives_it_as_a_column_or_beside_the_bars(tmp_path: Path, layout):
    bars = measured_bars(50)
    bars.iloc[0, bars.columns.get_loc(REALIZED)] = np.nan
    plain = bars if layout == "column" else bars.drop(columns=REALIZED)
    plain.to_csv(tmp_path / "X.csv")
    if layout != "column":
        (tmp_path / "realized").mkdir()
        own = bars[[REALIZED]].iloc[5:].reset_index()
        if layout == "own file":
            own.to_csv(tmp_path / "realized" / "X.csv", index=False)
        else:
            own.to_parquet(tmp_path / "realized" / "X.parquet")
        bars.iloc[:5, bars.columns.get_loc(REALIZED)] = np.nan
    source = CsvSource(tmp_path)
    np.testing.assert_array_equal(source.fetch("X")[REALIZED], bars[REALIZED])
    assert source.listed() == (["X"], [])


def test_a_wrong_file_of_measures_is_refused_by_name(tmp_path: Path):
    measured_bars(50).to_csv(tmp_path / "X.csv")
    (tmp_path / "realized").mkdir()
    (tmp_path / "realized" / "X.csv").write_text("date,variance\n2020-01-02,1e-4\n")
    with pytest.raises(InputError, match=r"realized/X\.csv has no column realized_variance"):
        CsvSource(tmp_path).fetch("X")


def test_what_the_source_measures_again_is_a_revision_and_what_it_never_had_is_none():
    bars = measured_bars(50)
    plain = bars.drop(columns=REALIZED)
    assert len(update_bars("X", plain, plain, NOW).revisions) == 0
    assert len(update_bars("X", bars, bars, NOW).changed) == 0
    gained = update_bars("X", plain, bars, NOW)
    assert gained.revisions["column"].unique().tolist() == [REALIZED]
    np.testing.assert_array_equal(gained.bars[REALIZED], bars[REALIZED])
    changed = bars.copy()
    changed.iloc[7, changed.columns.get_loc(REALIZED)] *= 2
    (row,) = update_bars("X", bars, changed, NOW).revisions.to_dict("records")
    assert (row["date"], row["column"]) == (bars.index[7], REALIZED)
    lost = update_bars("X", bars, plain, NOW)
    assert lost.bars[REALIZED].isna().all() if REALIZED in lost.bars else True
    assert len(lost.changed) == 50
