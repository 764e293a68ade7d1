"""Where settings come from: the file `volassets.toml` and the variables `VOLASSETS_<KEY>`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict

from volassets.errors import InputError
from volassets.models.protocol import Model
from volassets.models.registry import MODELS

FILE_NAME = "volassets.toml"
HOME_VARIABLE = "VOLASSETS_HOME"
PREFIX = "VOLASSETS_"


Source = Literal["bundled", "csv", "yfinance"]


class TickerSource(BaseModel):
    """Where the bars of one ticker come from.

    An empty `csv_dir` is the settings' own; `symbol` is what the source calls the ticker since it was renamed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Source
    csv_dir: str = ""
    symbol: str = ""


def read_file(path: Path) -> dict[str, Any]:
    """Return what the TOML file holds, nothing where it does not exist; InputError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as settings: {error}. Correct the file, or move it away to start from the defaults."
        ) from None


def read_environment(
    environment: Mapping[str, str], sections: dict[str, dict[str, Any]], keys: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what `VOLASSETS_<KEY>` gives and put `VOLASSETS_<MODEL>_<KEY>` into `sections`.

    `keys` are the fields of the settings by name; a variable that names none is an InputError.
    """
    values: dict[str, Any] = {}
    known = {f"{PREFIX}{key}".upper(): ("", key, field) for key, field in keys.items()}
    for name, model in MODELS.items():
        known |= {f"{PREFIX}{name}_{key}".upper(): (name, key, field) for key, field in spec_fields(model).items()}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable == HOME_VARIABLE:
            continue
        if variable not in known:
            raise InputError(
                f"{variable} is set, but no setting has that name: unset it, or correct its name; `{FILE_NAME}` lists "
                "every key."
            )
        section, key, field = known[variable]
        (sections.setdefault(section, {}) if section else values)[key] = _parse(text, field.annotation)
    return values


def _parse(text: str, annotation: Any) -> Any:
    """Return what TOML would give; a list is JSON, or entries with commas between them."""
    if get_origin(annotation) is UnionType and not text.lstrip().startswith("{"):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is tuple and not text.lstrip().startswith("["):
        entry = get_args(annotation)[0]
        entry = getattr(entry, "__origin__", entry)
        return [_parse(part.strip(), entry) for part in text.split(",")] if text.strip() else []
    if get_origin(annotation) in (tuple, dict, UnionType) or annotation in (int, float, bool):
        with suppress(ValueError):
            return json.loads(text)
    return text


def spec_fields(model: type[Model]) -> dict[str, Any]:
    """Return the fields of a model's specification, its settings, by name."""
    return getattr(model, "__pydantic_fields__", {})
