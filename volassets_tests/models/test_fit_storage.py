"""A fit and its row of ``<family>_fits`` or its checkpoint: every bit comes back, and what is damaged is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as encode

from volassets.errors import InputError
from volassets.models.fit_storage import HEADER, _decoded, encode_checkpoint, fit_from_row, fit_to_row, read_checkpoint
from volassets.models.lstm import Lstm
from volassets.models.lstm_reference import LstmReference
from volassets.models.protocol import Fit, Model, field_values
from volassets.models.registry import MODELS
from volassets.models.transformer import Transformer
from volassets.object_io import read_whole, write_whole
from volassets.settings import Settings
from volassets.warehouse.store import Replacement, open_warehouse
from volassets_tests.models.windows import forecast, origins_after, selecting_window, window_of

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
    return {name: MODELS[name]().fit(window) for name in STORED}


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
        assert json.loads(json.dumps(field_values(model()))) == field_values(model())


EARLY = "2004-01"
NETWORKS: tuple[Model, ...] = (
    Lstm(epochs=1, seeds=2),
    Transformer(epochs=1, seeds=1),
    LstmReference(hidden=8, window=300, epochs=2, sequence_length=10),
)


@pytest.fixture(scope="module")
def networks(sp500_features: pd.DataFrame) -> dict[str, Fit]:
    window = selecting_window(sp500_features, EARLY, (1, 5, 22))
    return {spec.name: spec.fit(window) for spec in NETWORKS}


@pytest.fixture
def path(tmp_path: Path, networks: dict[str, Fit]) -> Path:
    file = tmp_path / "lstm.safetensors"
    write_whole(file, encode_checkpoint(networks["lstm"], "abc", Lstm.code_version))
    return file


def with_header(path: Path, **changes: object) -> Path:
    """Rewrite the file with other entries in its header."""
    metadata, tensors = _decoded(path, read_whole)
    header = {**json.loads(metadata[HEADER]), **changes}
    path.write_bytes(encode(tensors, metadata={HEADER: json.dumps(header)}))
    return path


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
def test_forecasts_reproduce_from_the_file_alone(
    sp500_features: pd.DataFrame, networks: dict[str, Fit], tmp_path: Path, spec: Model
) -> None:
    file = tmp_path / "deep" / "er" / "fit.safetensors"
    fit = networks[spec.name]
    write_whole(file, encode_checkpoint(fit, "abc", spec.code_version))
    origins = origins_after(sp500_features, EARLY, before=100)
    loaded = read_checkpoint(file)
    expected = spec.forecast(fit, sp500_features, origins)
    pd.testing.assert_frame_equal(forecast(loaded, sp500_features, origins), expected, check_exact=True)
    for name in ("spec", "ticker", "month", "horizons", "ratio", "train_start", "train_end", "n_train", "parameters"):
        assert getattr(loaded, name) == getattr(fit, name)
    assert [entry.name for entry in file.parent.iterdir()] == ["fit.safetensors"]


def test_the_content_is_the_same_for_the_same_fit_and_read_from_memory_too(
    path: Path, networks: dict[str, Fit]
) -> None:
    content = encode_checkpoint(networks["lstm"], "abc", Lstm.code_version)
    assert path.read_bytes() == content
    asked = []
    loaded = read_checkpoint("nowhere", "abc", read=lambda place: asked.append(place) or content)
    assert asked == ["nowhere"]
    assert loaded.tensors.keys() == networks["lstm"].tensors.keys()
    for name, tensor in networks["lstm"].tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], tensor)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.999])
def test_truncated_file_is_refused(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"truncated or corrupt.*fit that month again"):
        read_checkpoint(path)


def test_changed_weight_is_refused(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="digest"):
        read_checkpoint(path)


def test_missing_file_and_missing_header_are_refused(path: Path) -> None:
    with pytest.raises(InputError, match="there is no checkpoint"):
        read_checkpoint(path.with_name("other"))
    path.write_bytes(encode({"weight": np.zeros(3, np.float32)}))
    with pytest.raises(InputError, match="no volassets header"):
        read_checkpoint(path)
    path.write_bytes(encode({"weight": np.zeros(3, np.float32)}, metadata={HEADER: "{"}))
    with pytest.raises(InputError, match=r"header of .* cannot be read"):
        read_checkpoint(path)


def test_other_data_is_refused(path: Path) -> None:
    assert read_checkpoint(path, data_hash="abc").model == "lstm"
    with pytest.raises(InputError, match="made from data abc, not xyz"):
        read_checkpoint(path, data_hash="xyz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format version 2"),
        ({"code_version": "0"}, "version 0 of lstm"),
        ({"model": "gru"}, "model 'gru'"),
    ],
)
def test_other_versions_are_refused(path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_checkpoint(with_header(path, **changes))


def test_incomplete_header_is_refused(path: Path) -> None:
    metadata, tensors = _decoded(path, read_whole)
    header = json.loads(metadata[HEADER])
    del header["parameters"]
    path.write_bytes(encode(tensors, metadata={HEADER: json.dumps(header)}))
    with pytest.raises(InputError, match="lacks parameters"):
        read_checkpoint(path)
