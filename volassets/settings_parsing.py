"""How a setting's text is read, and which kinds of value are refused before they are converted."""

from __future__ import annotations

import json
import math
import re
from typing import Any, get_args, get_origin

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Minute, hour, day of the month, month, day of the week (0 and 7 are Sunday).
CRON_FIELDS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, MONTHS),
    (0, 7, DAYS),
)


def parse_text(text: str, annotation: Any) -> Any:
    """Return an environment value in the form that TOML would give it, for a setting of type `annotation`.

    A list is JSON, or entries with commas between them; one entry alone is a list of one.
    """
    if get_origin(annotation) is tuple:
        entry = get_args(annotation)[0]
        if text.lstrip().startswith("["):
            return _json(text)
        return [parse_text(part.strip(), entry) for part in text.split(",")] if text.strip() else []
    if get_origin(annotation) is dict or annotation in (int, float, bool):
        return _json(text)
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def wrong_kind(value: Any, annotation: Any) -> str:
    """Return what to give instead of a value of the wrong kind, empty where the kind is right.

    Pydantic alone would take ``true`` for 1 and ``"2"`` for 2.
    """
    if get_origin(annotation) is tuple:
        if not isinstance(value, list | tuple):
            return "give a list"
        return next(filter(None, (wrong_kind(entry, get_args(annotation)[0]) for entry in value)), "")
    if annotation in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "give a number"
        return "" if math.isfinite(value) else "give a finite number"
    if annotation is bool and not isinstance(value, bool):
        return "give true or false"
    return ""


def is_cron(line: str) -> bool:
    """Return whether `line` has the five fields of a cron line, each within its range."""
    fields = line.split()
    return len(fields) == len(CRON_FIELDS) and all(
        _is_cron_entry(entry.lower(), *limits)
        for field, limits in zip(fields, CRON_FIELDS, strict=True)
        for entry in field.split(",")
    )


def _is_cron_entry(entry: str, low: int, high: int, names: tuple[str, ...]) -> bool:
    match = re.fullmatch(r"(\*|(?P<first>\w+)(-(?P<last>\w+))?)(/(?P<step>[1-9]\d*))?", entry, re.ASCII)
    if match is None:
        return False
    numbers = [_cron_number(match[part], low, names) for part in ("first", "last") if match[part]]
    return all(low <= number <= high for number in numbers) and numbers == sorted(numbers)


def _cron_number(text: str, low: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + low
    return int(text) if text.isdigit() else -1
