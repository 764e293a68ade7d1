"""How a fit is stored: a row of ``<family>_fits`` and, for networks, a safetensors checkpoint.

A month's forecasts need these and the feature table, nothing else. No pickle: reading a file runs no code of it. The
checkpoint's JSON header holds all of the fit but its weights and history.
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
from volassets.object_io import read_whole
from volassets.timing import refit_month

FORMAT_VERSION = 1
HEADER = "volassets"
DATES = ("month", "train_start", "train_end")
PLAIN = (
    "model", "spec", "ticker", "horizons", "ratio", "n_train", "parameters", "log_likelihood", "converged", "message",
)  # fmt: skip
FIELDS = ("format_version", "code_version", "data_hash", "digest", *PLAIN, *DATES)


def fit_to_row(fit: Fit, seconds: float, checkpoint: str, data_hash: str, code_version: str) -> dict[str, Any]:
    """Return the row of ``<family>_fits``: everything of `fit` but its tensors and history."""
    parameters = {"spec": fit.spec, "horizons": list(fit.horizons), "ratio": fit.ratio, **fit.parameters}
    kept = ("ticker", "model", "train_start", "train_end", "n_train", "log_likelihood", "converged", "message")
    return {
        **{name: getattr(fit, name) for name in kept},
        "refit_month": fit.month,
        "parameters": json.dumps(parameters, allow_nan=False, sort_keys=True),
        "seconds": seconds,
        "checkpoint": checkpoint,
        "data_hash": data_hash,
        "code_version": code_version,
        "computed_on": fit.computed_on or None,
    }


def fit_from_row(row: Mapping[str, Any]) -> Fit:
    """Return the fit that `fit_to_row` wrote; floats come back bit for bit."""
    parameters = json.loads(row["parameters"])
    return Fit(
        model=row["model"],
        spec=parameters.pop("spec"),
        ticker=row["ticker"],
        month=refit_month(pd.Timestamp(row["refit_month"])),
        horizons=tuple(parameters.pop("horizons")),
        ratio=parameters.pop("ratio"),
        train_start=pd.Timestamp(row["train_start"]),
        train_end=pd.Timestamp(row["train_end"]),
        n_train=int(row["n_train"]),
        parameters=parameters,
        log_likelihood=None if pd.isna(row["log_likelihood"]) else float(row["log_likelihood"]),
        converged=bool(row["converged"]),
        message=row["message"] or "",
        computed_on=row.get("computed_on") or "",
    )


def encode_checkpoint(fit: Fit, data_hash: str, code_version: str) -> bytes:
    """Return the content of the checkpoint of a fit with tensors.

    Parameters
    ----------
    fit : Fit
    data_hash : str
        Identifies the inputs that the fit was made from.
    code_version : str
        Of the model that made it.
    """
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in fit.tensors.items()}
    header = {
        "format_version": FORMAT_VERSION,
        "code_version": code_version,
        "data_hash": data_hash,
        "digest": _digest(tensors),
        **{name: getattr(fit, name) for name in PLAIN},
        **{name: f"{getattr(fit, name):%Y-%m-%d}" for name in DATES},
    }
    return save(tensors, metadata={HEADER: json.dumps(header, allow_nan=False, sort_keys=True)})


def read_checkpoint(
    path: str | Path, data_hash: str | None = None, read: Callable[[str | Path], bytes] = read_whole
) -> Fit:
    """Return the fit of a checkpoint, without its history.

    Parameters
    ----------
    path : str or Path
        A path or an fsspec URL.
    data_hash : str, optional
        What the file must have been made from; any where it is None.
    read : callable
        From the path to the file's content.

    Raises
    ------
    InputError
        If the file is missing, truncated or changed, has no header of ours, is of another format or model
        version, or was made from other data.
    """
    metadata, tensors = _decoded(path, read)
    header = _header(path, metadata)
    _require_usable(path, header, tensors, data_hash)
    fields = {name: header[name] for name in PLAIN} | {name: pd.Timestamp(header[name]) for name in DATES}
    return Fit(**{**fields, "horizons": tuple(header["horizons"])}, tensors=tensors)


def _decoded(path: str | Path, read: Callable[[str | Path], bytes]) -> tuple[Mapping[str, str], dict[str, np.ndarray]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content = read(path)
        tensors = load(content)
        # Checked by `load`: eight bytes of length, then that much JSON.
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
