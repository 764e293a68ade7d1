from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save as encode

import volassets.models
from volassets.errors import InputError
from volassets.models import checkpoints
from volassets.models.forecasting import forecast
from volassets.models.lstm import Lstm
from volassets.models.lstm_reference import LstmReference
from volassets.models.protocol import Fit, Model
from volassets.models.transformer import Transformer
from volassets.object_io import read_whole
from volassets_tests.models.windows import origins_after, selecting_window

MONTH = "2004-01"
NETWORKS: tuple[Model, ...] = (
    Lstm(epochs=1, seeds=2),
    Transformer(epochs=1, seeds=1),
    LstmReference(hidden=8, window=300, epochs=2, sequence_length=10),
)


@pytest.fixture(scope="module")
def fits(sp500_features: pd.DataFrame) -> dict[str, Fit]:
    window = selecting_window(sp500_features, MONTH, (1, 5, 22))
    return {spec.name: spec.fit(window) for spec in NETWORKS}


@pytest.fixture
def path(tmp_path: Path, fits: dict[str, Fit]) -> Path:
    file = tmp_path / "lstm.safetensors"
    checkpoints.save(fits["lstm"], file, "abc", Lstm.code_version)
    return file


def with_header(path: Path, **changes: object) -> Path:
    """Rewrite the file with other entries in its header."""
    metadata, tensors = checkpoints._read(path, read_whole)
    header = {**json.loads(metadata[checkpoints.HEADER]), **changes}
    path.write_bytes(encode(tensors, metadata={checkpoints.HEADER: json.dumps(header)}))
    return path


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
def test_forecasts_reproduce_from_the_file_alone(
    sp500_features: pd.DataFrame, fits: dict[str, Fit], tmp_path: Path, spec: Model
) -> None:
    file = tmp_path / "deep" / "er" / "fit.safetensors"
    fit = fits[spec.name]
    checkpoints.save(fit, file, "abc", spec.code_version)
    origins = origins_after(sp500_features, MONTH, before=100)
    loaded = volassets.models.load(file)
    expected = spec.forecast(fit, sp500_features, origins)
    pd.testing.assert_frame_equal(forecast(loaded, sp500_features, origins), expected, check_exact=True)
    for name in ("spec", "ticker", "month", "horizons", "ratio", "train_start", "train_end", "n_train", "parameters"):
        assert getattr(loaded, name) == getattr(fit, name)
    assert [entry.name for entry in file.parent.iterdir()] == ["fit.safetensors"]


def test_same_fit_gives_the_same_bytes(path: Path, fits: dict[str, Fit], tmp_path: Path) -> None:
    checkpoints.save(fits["lstm"], tmp_path / "again", "abc", Lstm.code_version)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_the_file_is_what_encode_returns_and_reads_from_memory_too(path: Path, fits: dict[str, Fit]) -> None:
    content = checkpoints.encode(fits["lstm"], "abc", Lstm.code_version)
    assert path.read_bytes() == content
    asked = []
    loaded = checkpoints.load("nowhere", "abc", read=lambda place: asked.append(place) or content)
    assert asked == ["nowhere"]
    assert loaded.tensors.keys() == fits["lstm"].tensors.keys()
    for name, tensor in fits["lstm"].tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], tensor)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.999])
def test_truncated_file_is_refused(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"truncated or corrupt.*fit that month again"):
        checkpoints.load(path)


def test_changed_weight_is_refused(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="digest"):
        checkpoints.load(path)


def test_missing_file_and_missing_header_are_refused(path: Path) -> None:
    with pytest.raises(InputError, match="there is no checkpoint"):
        checkpoints.load(path.with_name("other"))
    path.write_bytes(encode({"weight": np.zeros(3, np.float32)}))
    with pytest.raises(InputError, match="no volassets header"):
        checkpoints.load(path)
    path.write_bytes(encode({"weight": np.zeros(3, np.float32)}, metadata={checkpoints.HEADER: "{"}))
    with pytest.raises(InputError, match=r"header of .* cannot be read"):
        checkpoints.load(path)


def test_other_data_is_refused(path: Path) -> None:
    assert checkpoints.load(path, data_hash="abc").model == "lstm"
    with pytest.raises(InputError, match="made from data abc, not xyz"):
        checkpoints.load(path, data_hash="xyz")


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
        checkpoints.load(with_header(path, **changes))


def test_incomplete_header_is_refused(path: Path) -> None:
    metadata, tensors = checkpoints._read(path, read_whole)
    header = json.loads(metadata[checkpoints.HEADER])
    del header["parameters"]
    path.write_bytes(encode(tensors, metadata={checkpoints.HEADER: json.dumps(header)}))
    with pytest.raises(InputError, match="lacks parameters"):
        checkpoints.load(path)


def test_older_file_stays_when_writing_fails(path: Path, fits: dict[str, Fit], monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        checkpoints.save(fits["transformer"], path, "def", "1")
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_fit_without_weights_is_refused(fits: dict[str, Fit], tmp_path: Path) -> None:
    import dataclasses

    with pytest.raises(InputError, match="no weights"):
        checkpoints.save(dataclasses.replace(fits["lstm"], tensors={}), tmp_path / "x", "abc", "1")
