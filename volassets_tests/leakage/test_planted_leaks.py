"""The audit passes an honest pipeline and catches each planted leak."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.evaluation.leakage import CONTROL, EXACTLY_H, UNCHANGED, audit, differing_cells, replace_future
from volassets.market.calendar import calendar_for
from volassets.pipeline.leakage_audit import cut_dates
from volassets_tests.conftest import simulate_bars
from volassets_tests.leakage.wrong_pipelines import PLANTED, Steps

MONTH = pd.Timestamp("2008-03-01")
# stage in which each leak first shows
SHOWS_IN = {
    "FullSampleScaler": "fits",
    "BackFill": "features",
    "CentredRolling": "features",
    "ShiftedBack": "features",
    "FullSampleWinsorising": "features",
    "FullSampleRatio": "fits",
    "SuspectsOfLaterDays": "fits",
    "FullSampleFilter": "selection",
    "UnrealisedLabels": "fits",
    "UnrealisedErrors": "forecasts",
    "LengthInTheSeed": "fits",
}


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    history = simulate_bars(900, seed=11)
    # A wrong high on the last day before the month, so that whoever looks ahead may think again about it.
    history.iloc[history.index.searchsorted(MONTH) - 1, 1] *= 1.5
    return history


@pytest.fixture(scope="module")
def cuts(bars) -> tuple[pd.Timestamp, ...]:
    return cut_dates(pd.DatetimeIndex(bars.index), MONTH)


def test_an_honest_pipeline_passes(bars, cuts):
    result = audit(bars, Steps(calendar_for("AAA"), MONTH).pipeline(), cuts)
    assert result.passed, result.text()
    rules = result.comparisons
    assert set(rules["stage"]) == {"features", "selection", "fits", "forecasts", "labels"}
    assert (rules.loc[rules["rule"] == UNCHANGED, "rows"] > 0).all()
    assert (rules.loc[rules["rule"] == UNCHANGED, "changed_rows"] == 0).all()
    assert (rules.loc[rules["rule"] == CONTROL, "changed_rows"] > 0).all()
    assert set(rules.loc[rules["rule"] == f"{EXACTLY_H}, h=5", "changed_rows"]) == {5}
    assert (rules.loc[rules["stage"] == "fits", "months"] == 1).all()
    assert result.first_difference == ""
    assert "bit-identical" in result.text()


@pytest.mark.parametrize("leak", PLANTED, ids=lambda leak: leak.__name__)
def test_each_planted_leak_is_caught(bars, cuts, leak):
    result = audit(bars, leak(calendar_for("AAA"), MONTH).pipeline(), cuts)
    assert not result.passed
    assert SHOWS_IN[leak.__name__] in set(result.failures["stage"])
    assert "FAIL" in result.text()
    assert result.first_difference in result.text()
    assert result.first_difference


def test_a_target_date_is_compared_where_the_next_bar_is_kept(bars, cuts):
    """The next stored bar is the next session; the last origin of a shorter history has the calendar's."""

    def pipeline(given: pd.DataFrame) -> dict[str, pd.DataFrame]:
        following = pd.Series(given.index, index=given.index).shift(-1).fillna(given.index[-1] + pd.Timedelta(days=9))
        return {
            "forecasts": pd.DataFrame(
                {"known_at": given.index, "target_date": following.to_numpy(), "x": given["close"]}
            )
        }

    def wrong(given: pd.DataFrame) -> dict[str, pd.DataFrame]:
        frame = pipeline(given)["forecasts"]
        return {"forecasts": frame.assign(target_date=frame["target_date"] + pd.Timedelta(days=len(given)))}

    for replacement in ("noise", "dropped"):
        assert audit(bars, pipeline, cuts, replacements=(replacement,)).passed
    assert not audit(bars, wrong, cuts, replacements=("dropped",)).passed


def test_a_shift_is_caught_by_each_replacement(bars, cuts):
    for replacement in ("noise", "constant", "dropped"):
        leak = next(leak for leak in PLANTED if leak.__name__ == "ShiftedBack")
        result = audit(bars, leak(calendar_for("AAA"), MONTH).pipeline(), cuts[:1], replacements=(replacement,))
        (failure,) = result.failures.query("stage == 'features'")["detail"]
        assert f"row known at {cuts[0]:%Y-%m-%d}: column return_z was" in failure


def _toy(forecast_from_today: bool = True, labels_ahead: int = 1):
    def pipeline(bars: pd.DataFrame) -> dict[str, pd.DataFrame]:
        close = bars["close"].to_numpy()
        ahead = np.concatenate([close[labels_ahead:], np.full(labels_ahead, np.nan)])
        return {
            "forecasts": pd.DataFrame({"known_at": bars.index, "variance": close if forecast_from_today else 1.0}),
            "labels": pd.DataFrame({"known_at": bars.index, "horizon": 1, "label": ahead}),
        }

    return pipeline


def test_a_blind_pipeline_fails_the_control(bars, cuts):
    assert audit(bars, _toy(), cuts).passed
    blind = audit(bars, _toy(forecast_from_today=False), cuts)
    assert set(blind.failures["rule"]) == {CONTROL}
    assert set(blind.failures["replacement"]) == {"noise", "constant"}


@pytest.mark.parametrize("ahead", [0, 2])
def test_labels_that_reach_too_far_or_not_far_enough_fail(bars, cuts, ahead):
    result = audit(bars, _toy(labels_ahead=ahead), cuts)
    assert set(result.failures["rule"]) == {f"{EXACTLY_H}, h=1"}


def test_nothing_compared_is_a_failure(bars, cuts):
    assert not audit(bars, _toy(), ()).passed
    assert not audit(bars, lambda _: {}, cuts).passed
    late = {"forecasts": pd.DataFrame({"known_at": bars.index[-1:], "variance": [1.0]})}
    assert not audit(bars, lambda _: late, cuts).passed


def test_a_stage_that_appears_or_loses_rows_is_a_failure(bars, cuts):
    def grows(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
        stages = _toy()(frame)
        last = float(frame["close"].iloc[-1])
        if last != float(bars["close"].iloc[-1]):
            return stages | {"extra": stages["forecasts"]}
        return stages

    def shrinks(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
        stages = _toy()(frame)
        changed = float(frame["close"].iloc[-1]) != float(bars["close"].iloc[-1])
        return stages | {"forecasts": stages["forecasts"].iloc[int(changed) :]}

    assert "only one of the two runs" in audit(bars, grows, cuts).first_difference
    assert "rows and 2 columns became" in audit(bars, shrinks, cuts).first_difference


def test_replaced_bars_keep_the_past_and_stay_possible(bars, cuts):
    for replacement in ("noise", "constant"):
        replaced = replace_future(bars, cuts[0], replacement)
        pd.testing.assert_frame_equal(replaced.loc[: cuts[0]], bars.loc[: cuts[0]])
        later, before = replaced[replaced.index > cuts[0]], bars[bars.index > cuts[0]]
        assert (later["close"] != before["close"]).all()
        assert (later["high"] >= later[["open", "close"]].max(axis=1)).all()
        assert (later["low"] <= later[["open", "close"]].min(axis=1)).all()
        assert (later[["low", "adj_close"]] > 0).all(axis=None)
        assert (later["volume"] >= 0).all()
    assert len(replace_future(bars, cuts[0], "dropped")) == bars.index.get_loc(cuts[0]) + 1
    pd.testing.assert_frame_equal(replace_future(bars, cuts[0], "noise"), replace_future(bars, cuts[0], "noise"))


def test_impossible_cuts_name_the_rule(bars):
    with pytest.raises(InputError, match="must have a bar and bars after it"):
        replace_future(bars, pd.Timestamp("2008-03-01"), "noise")
    with pytest.raises(InputError, match="must have a bar and bars after it"):
        replace_future(bars, bars.index[-1], "noise")
    with pytest.raises(InputError, match="unknown replacement"):
        replace_future(bars, bars.index[100], "zeros")
    with pytest.raises(InputError, match="no column known_at"):
        audit(bars, lambda _: {"forecasts": pd.DataFrame({"variance": [1.0]})}, [bars.index[100]])


def test_cells_are_compared_by_their_bits():
    one = pd.DataFrame({"x": [1.0, np.nan, 0.0], "s": ["a", None, "c"]})
    other = pd.DataFrame({"x": [np.nextafter(1.0, 2.0), np.nan, -0.0], "s": ["a", None, "d"]})
    assert differing_cells(one, other).tolist() == [[True, False], [False, False], [True, True]]
