"""Checkpoints: one safetensors file per fit, its JSON header telling everything that is not a weight.

A month's forecasts need the checkpoint and the feature table, nothing else. No pickle: reading a
file runs no code of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.models.protocol import Fit
from volassets.models.registry import MODELS
from volassets.object_io import read_whole, write_whole

FORMAT_VERSION = 1
HEADER = "volassets"
# The fields of a fit, as they are in the header; weights and history are not there.
DATES = ("month", "train_start", "train_end")
PLAIN = (
    "model",
    "spec",
    "ticker",
    "horizons",
    "ratio",
    "n_train",
    "parameters",
    "log_likelihood",
    "converged",
    "message",
)
FIELDS = ("format_version", "code_version", "data_hash", "digest", *PLAIN, *DATES)


def encode(fit: Fit, data_hash: str, code_version: str) -> bytes:
    """Return the content of a fit's checkpoint.

    Parameters
    ----------
    fit : Fit
        With tensors; its history is kept elsewhere (``training_history``).
    data_hash : str
        Identifies the inputs that the fit was made from.
    code_version : str
        Of the model that made it.

    Raises
    ------
    InputError
        If the fit has no tensors.
    """
    from safetensors.numpy import save as safetensors_bytes

    if not fit.tensors:
        raise InputError(f"the fit of {fit.model!r} has no weights: only networks are kept as checkpoints.")
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in fit.tensors.items()}
    header = {
        "format_version": FORMAT_VERSION,
        "code_version": code_version,
        "data_hash": data_hash,
        "digest": _digest(tensors),
        **{name: getattr(fit, name) for name in PLAIN},
        **{name: f"{getattr(fit, name):%Y-%m-%d}" for name in DATES},
    }
    return safetensors_bytes(tensors, metadata={HEADER: json.dumps(header, allow_nan=False, sort_keys=True)})


def save(fit: Fit, path: str | Path, data_hash: str, code_version: str) -> None:
    """Write `encode` of a fit to a path or fsspec URL, so that the file is there whole or not at all."""
    write_whole(path, encode(fit, data_hash, code_version))


def load(path: str | Path, data_hash: str | None = None, read: Callable[[str | Path], bytes] = read_whole) -> Fit:
    """Read a fit, whole and usable by this release, or say why not.

    Parameters
    ----------
    path : str or Path
        File that `save` wrote; a path or an fsspec URL.
    data_hash : str, optional
        What the file must have been made from; not looked at where it is None.
    read : callable
        From the path to the file's content; from memory in the leakage audit.

    Returns
    -------
    Fit
        Without history. `volassets.models.forecasting.forecast` gives its forecasts bit for bit.

    Raises
    ------
    InputError
        If the file is missing, truncated or changed, has no header of ours, is of another format or model
        version, or was made from other data.
    """
    metadata, tensors = _read(path, read)
    header = _header(path, metadata)
    _require_usable(path, header, tensors, data_hash)
    fields = {name: header[name] for name in PLAIN} | {name: pd.Timestamp(header[name]) for name in DATES}
    return Fit(**{**fields, "horizons": tuple(header["horizons"])}, tensors=tensors)


def _read(path: str | Path, read: Callable[[str | Path], bytes]) -> tuple[Mapping[str, str], dict[str, np.ndarray]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as decode

    try:
        content = read(path)
        tensors = decode(content)
        # Checked by `decode`: eight bytes of length, then that much JSON.
        length = int.from_bytes(content[:8], "little")
        return json.loads(content[8 : 8 + length]).get("__metadata__", {}), tensors
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"there is no checkpoint {path}: fit that month again, or correct the path.") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"checkpoint {path} is truncated or corrupt ({error}): delete it and fit that month again."
        ) from None


def _header(path: str | Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if HEADER not in metadata:
        raise InputError(f"{path} has no volassets header, so it is not a checkpoint of a fit: give one that is.")
    try:
        header = json.loads(metadata[HEADER])
        version = header["format_version"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"the header of {path} cannot be read: delete it and fit that month again.") from None
    if version != FORMAT_VERSION:
        raise InputError(
            f"checkpoint {path} has format version {version}, this release reads {FORMAT_VERSION}: "
            "fit that month again, or use the release that wrote it."
        )
    return header


def _require_usable(
    path: str | Path, header: Mapping[str, Any], tensors: Mapping[str, np.ndarray], data_hash: str | None
) -> None:
    lacking = [name for name in FIELDS if name not in header]
    if lacking:
        raise InputError(f"the header of {path} lacks {lacking[0]}: delete it and fit that month again.")
    model = header["model"]
    if header["digest"] != _digest(tensors):
        raise InputError(f"the weights in {path} do not match their digest: delete it and fit that month again.")
    if model not in MODELS:
        raise InputError(f"checkpoint {path} is of model {model!r}; known are {', '.join(MODELS)}.")
    if header["code_version"] != MODELS[model].code_version:
        raise InputError(
            f"checkpoint {path} was made by version {header['code_version']} of {model}, this release has "
            f"{MODELS[model].code_version}: fit that month again, or use the release that wrote it."
        )
    if data_hash is not None and header["data_hash"] != data_hash:
        raise InputError(
            f"checkpoint {path} was made from data {header['data_hash']}, not {data_hash}: fit that month again."
        )


def _digest(tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name}|{tensor.dtype.str}|{tensor.shape}|".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
