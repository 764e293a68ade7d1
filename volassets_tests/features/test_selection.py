"""Feature selection and the scaler: against the plain way, reasons, and what it may not see."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from volassets.errors import InputError
from volassets.features.catalogue import OUTCOMES, catalogue
from volassets.features.feature_table import build_features
from volassets.features.selection import scaled, select_features
from volassets.market.calendar import calendar_for


@pytest.fixture(scope="module")
def table(nasdaq_bars) -> pd.DataFrame:
    return build_features(nasdaq_bars, calendar_for("^IXIC"))


def plain_selection(rows: pd.DataFrame, threshold: float) -> dict[str, str | None]:
    """Return the partner of each dropped feature, None for a kept one: pandas and two loops."""
    correlation = rows.corr().abs()
    kept: list[str] = []
    partners: dict[str, str | None] = {}
    for name in rows:
        strongest = max(kept, key=lambda other: correlation.loc[name, other], default=None)
        if strongest is not None and correlation.loc[name, strongest] > threshold:
            partners[name] = strongest
        else:
            kept.append(name)
            partners[name] = None
    return partners


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_it_equals_the_plain_way(table, threshold):
    training = table.loc[:"2008"]
    selection = select_features(training, threshold)
    rows = training.drop(columns=list(OUTCOMES)).iloc[66:]
    partners = plain_selection(rows, threshold)
    assert list(selection.index) == [feature.name for feature in catalogue()] == list(partners)
    dropped = selection[selection["reason"] == "correlated"]
    assert dropped["correlated_with"].to_dict() == {name: other for name, other in partners.items() if other}
    kept = list(selection.index[selection["selected"]])
    assert rows[kept].corr().abs().where(~np.eye(len(kept), dtype=bool), 0).to_numpy().max() <= threshold
    for name, row in dropped.iterrows():
        assert row["abs_correlation"] == pytest.approx(abs(rows[name].corr(rows[row["correlated_with"]])), abs=1e-10)
    np.testing.assert_allclose(selection["center"], rows.mean(), rtol=1e-10)
    np.testing.assert_allclose(selection["scale"], rows.std(ddof=0), rtol=1e-10)


def test_each_dropped_feature_has_its_reason():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(300)
    training = pd.DataFrame(
        {
            "first": x,
            "flat": 3.7,
            "nearly_flat": 1e6 + 1e-8 * x,
            "hole": np.where(np.arange(300) == 200, np.nan, rng.standard_normal(300)),
            "endless": np.where(np.arange(300) == 200, np.inf, rng.standard_normal(300)),
            "empty": np.nan,
            "late": np.where(np.arange(300) < 100, np.nan, rng.standard_normal(300)),
            "mirror": -2 * x + 5 + 0.01 * rng.standard_normal(300),
            "warming": np.where(np.arange(300) < 20, np.nan, rng.standard_normal(300)),
            "return": x,
        }
    )
    selection = select_features(training)
    assert selection["reason"].to_dict() == {
        "first": "kept",
        "flat": "constant",
        "nearly_flat": "constant",
        "hole": "missing",
        "endless": "missing",
        "empty": "missing",
        "late": "missing",
        "mirror": "correlated",
        "warming": "kept",
    }
    assert selection.loc["mirror", "correlated_with"] == "first"
    assert selection.loc["first", "correlated_with"] is None
    assert selection.loc["flat", ["center", "scale"]].tolist() == [3.7, 1.0]
    assert selection.loc["empty", ["center", "scale"]].tolist() == [0.0, 1.0]
    assert selection.loc["first", "center"] == pytest.approx(x[20:].mean())
    assert np.isfinite(selection[["center", "scale"]].to_numpy()).all()


@pytest.mark.parametrize("scaling", ["standardize", "minmax"])
def test_the_scaler_is_fitted_on_training_rows(table, scaling):
    training = table.loc[:"2008"]
    selection = select_features(training, scaling=scaling)
    inside = scaled(training.iloc[66:], selection)
    assert list(inside) == list(selection.index[selection["selected"]])
    if scaling == "standardize":
        np.testing.assert_allclose(inside.mean(), 0, atol=1e-9)
        np.testing.assert_allclose(inside.std(ddof=0), 1, rtol=1e-9)
    else:
        np.testing.assert_allclose([inside.min(), inside.max()], [[0.0] * inside.shape[1], [1.0] * inside.shape[1]])
    assert scaled(table, selection).loc[training.index[66:]].equals(inside)


def test_a_split_rescales_levels_and_leaves_their_scaled_values(nasdaq_bars, table):
    split = nasdaq_bars.copy()
    split[["open", "high", "low", "close", "adj_close"]] /= 4
    split["volume"] *= 4
    other = build_features(split, calendar_for("^IXIC"))
    rows = [scaled(frame, select_features(frame.loc[:"2008"]))[["vwap", "volume"]] for frame in (table, other)]
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-9, atol=1e-9)


def test_the_same_rows_give_the_same_bits(table):
    training = table.loc[:"2010"]
    expected = select_features(training)
    for threads in (1, 2):
        with threadpool_limits(threads):
            pd.testing.assert_frame_equal(select_features(training.copy()), expected, check_exact=True)


def test_one_refit_takes_milliseconds(table):
    select_features(table)
    start = time.process_time()
    select_features(table)
    assert time.process_time() - start < 0.1


def test_wrong_input_is_refused(table):
    with pytest.raises(InputError, match="'robust' is unknown"):
        select_features(table, scaling="robust")
    with pytest.raises(InputError, match="14 complete rows"):
        select_features(table.iloc[:80])
