"""How pinned rows and fresh ones differ: exactly on one kind of machine, else to a tolerance."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from volassets_tests.golden.stored import NULL

if TYPE_CHECKING:
    from volassets_tests.golden.make_run import Golden

RELATIVE = 1e-3
# For what is zero but for rounding: a coefficient at its bound, a p-value that no test distinguishes from none. The
# smallest numbers that mean something, squared returns of quiet days, lie above 1e-10.
ABSOLUTE = 1e-13
# Sentences whose figures are rounded, so that they may differ by one in the last digit.
SENTENCES = ("text", "message")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")


def differences(golden: Golden, fresh: Golden, exact: bool) -> list[str]:
    """Return what differs, a line each: rows, keys, values.

    Without `exact` floats may differ by the tolerance, and so may numbers in JSON and in sentences; hashes, counts,
    dates and names may not.
    """
    lines = []
    if fresh.rows != golden.rows or len(fresh.kept) != len(golden.kept):
        return [f"{fresh.rows} rows, {len(fresh.kept)} of them kept, not {golden.rows} and {len(golden.kept)}"]
    for before, after in zip(golden.kept, fresh.kept, strict=True):
        for (column, kind), old, new in zip(golden.shape.types.items(), before, after, strict=True):
            if old != new and (exact or not _close(column, kind, old, new)):
                where = [before[list(golden.shape.types).index(name)] for name in golden.shape.key]
                lines.append(f"{column} of {', '.join(where)}: {new[:200]}, not {old[:200]}")
    if exact and not lines and fresh.sha256 != golden.sha256:
        lines.append("a row that is not kept differs: the digests of all rows are not the same")
    return lines


def largest(golden: Golden, fresh: Golden) -> str:
    """Return in words the largest relative difference of two floats above `ABSOLUTE`, and what else differs."""
    gap, column, cells, others = 0.0, "", 0, 0
    for before, after in zip(golden.kept, fresh.kept, strict=True):
        for (name, kind), old, new in zip(golden.shape.types.items(), before, after, strict=True):
            if old == new:
                continue
            cells += 1
            for a, b in _pairs(name, kind, old, new):
                if not (isinstance(a, float) and isinstance(b, float)):
                    others += a != b
                elif max(abs(a), abs(b)) > ABSOLUTE:
                    gap, column = max((gap, column), (abs(a - b) / max(abs(a), abs(b)), name))
    digests = "same digest" if fresh.sha256 == golden.sha256 else "other digest"
    return f"{gap:8.1e} {column:24} {cells:6} cells differ, {others} values that are no floats; {digests}"


def _close(column: str, kind: str, old: str, new: str) -> bool:
    return all(_alike(a, b, column in SENTENCES) for a, b in _pairs(column, kind, old, new))


def _alike(old: Any, new: Any, rounded: bool) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        last = 10.0 ** -_digits(old) if rounded else 0.0
        return math.isclose(old, new, rel_tol=RELATIVE, abs_tol=ABSOLUTE + 1.01 * last)
    return type(old) is type(new) and old == new


def _digits(value: float) -> int:
    return len(repr(value).partition(".")[2]) if "e" not in repr(value) else 0


def _pairs(column: str, kind: str, old: str, new: str) -> Iterator[tuple[Any, Any]]:
    """Yield what two cells hold at the same places: one pair, or every leaf of JSON, or every number of a sentence."""
    if NULL in (old, new):
        yield old, new
    elif kind == "DOUBLE":
        yield float(old), float(new)
    elif kind == "JSON":
        yield from _leaves(json.loads(old), json.loads(new))
    elif column in SENTENCES:
        yield _NUMBER.sub("#", old), _NUMBER.sub("#", new)
        for a, b in zip(_NUMBER.findall(old), _NUMBER.findall(new), strict=False):
            yield (float(a), float(b)) if "." in a and "." in b else (a, b)
    else:
        yield old, new


def _leaves(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for name in old:
            yield from _leaves(old[name], new[name])
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for a, b in zip(old, new, strict=True):
            yield from _leaves(a, b)
    else:
        yield old, new
