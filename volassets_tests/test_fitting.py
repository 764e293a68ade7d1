"""A fit and its row of ``<family>_fits``: nothing is lost on the way there and back, not the last bit."""

from __future__ import annotations

import dataclasses
import json
import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volassets.models.base import spec_values
from volassets.models.fitting import fit_from_row, fit_to_row, fit_window
from volassets.models.forecasting import forecast
from volassets.models.protocol import Fit
from volassets.models.registry import MODELS
from volassets.settings import Settings
from volassets.warehouse.store import Replacement, open_warehouse
from volassets_tests.models.windows import origins_after, window_of

MONTH = pd.Timestamp("2008-10-01")
STORED = ("garch", "gjr", "egarch", "har", "log_har", "log_har_leverage", "elastic_net")


def plain_fit(**changes: object) -> Fit:
    described = {
        "model": "gjr",
        "spec": {"window": 1260, "distribution": "t"},
        "ticker": "^GSPC",
        "month": MONTH,
        "horizons": (1, 5, 22),
        "ratio": 1.1,
        "train_start": pd.Timestamp("2003-10-01"),
        "train_end": pd.Timestamp("2008-09-30"),
        "n_train": 1260,
    }
    return Fit(**{**described, **changes})


def stored_fields(fit: Fit) -> dict[str, object]:
    """Everything of a fit that its row keeps."""
    left_out = ("tensors", "history", "members")
    return {field.name: getattr(fit, field.name) for field in dataclasses.fields(fit) if field.name not in left_out}


def there_and_back(fit: Fit) -> Fit:
    return fit_from_row(fit_to_row(fit, 0.1, "", "0" * 16, "1"))


@pytest.fixture(scope="module")
def fits(sp500_features: pd.DataFrame) -> dict[str, Fit]:
    window = window_of(sp500_features)
    return {name: fit_window(MODELS[name](), window)[0] for name in STORED}


@pytest.mark.parametrize("name", STORED)
def test_a_real_fit_comes_back_as_it_was(fits, name):
    assert stored_fields(there_and_back(fits[name])) == stored_fields(fits[name])


@pytest.mark.parametrize("name", STORED)
def test_a_fit_that_came_back_forecasts_the_same_bits(fits, sp500_features, name):
    origins = origins_after(sp500_features)
    before, after = (forecast(fit, sp500_features, origins) for fit in (fits[name], there_and_back(fits[name])))
    pd.testing.assert_frame_equal(before, after, check_exact=True)


def test_the_store_keeps_the_bits_too(fits, tmp_path):
    store = open_warehouse(Settings(home=tmp_path))
    for name, fit in fits.items():
        rows = pd.DataFrame([fit_to_row(fit, 0.25, "", "0" * 16, "1")])
        cells = rows[["ticker", "refit_month", "model"]]
        store.write(Replacement(f"{MODELS[name].family}_fits", rows, cells))
        (row,) = store.read(f"{MODELS[name].family}_fits", model=name).to_dict("records")
        assert stored_fields(fit_from_row(row)) == stored_fields(fit)
        assert row["seconds"] == 0.25


finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
own_keys = st.text().filter(lambda key: key not in ("spec", "horizons", "ratio"))


@settings(max_examples=60, deadline=None)
@given(
    parameters=st.dictionaries(own_keys, json_values, max_size=5),
    ratio=finite,
    log_likelihood=st.none() | finite,
    converged=st.booleans(),
    message=st.text(),
)
def test_any_fit_of_json_values_comes_back(parameters, ratio, log_likelihood, converged, message):
    fit = plain_fit(
        parameters=parameters, ratio=ratio, log_likelihood=log_likelihood, converged=converged, message=message
    )
    assert stored_fields(there_and_back(fit)) == stored_fields(fit)


def test_a_negative_zero_keeps_its_sign():
    back = there_and_back(plain_fit(parameters={"mu": -0.0}, ratio=5e-324))
    assert math.copysign(1, back.parameters["mu"]) == -1
    assert back.ratio == 5e-324


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_json_lacks_is_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        fit_to_row(plain_fit(parameters={"mu": value}), 0.1, "", "0" * 16, "1")


def test_the_row_is_what_the_table_asks_for(fits):
    row = fit_to_row(fits["gjr"], 1.5, "checkpoints/x", "f" * 16, "3")
    assert row["ticker"] == "^GSPC"
    assert row["refit_month"] == MONTH
    assert row["train_end"] < MONTH
    assert row["n_train"] == 1260
    assert (row["seconds"], row["checkpoint"], row["data_hash"], row["code_version"]) == (
        1.5, "checkpoints/x", "f" * 16, "3",
    )  # fmt: skip
    parameters = json.loads(row["parameters"])
    assert parameters["spec"] == {"window": 1260, "distribution": "t"}
    assert list(parameters) == sorted(parameters)


def test_the_specification_is_plain_json():
    for model in MODELS.values():
        assert json.loads(json.dumps(spec_values(model()))) == spec_values(model())


def test_the_seconds_are_those_of_the_fit(sp500_features):
    fit, seconds = fit_window(MODELS["naive"](), window_of(sp500_features))
    assert fit.model == "naive"
    assert 0 <= seconds < 5
