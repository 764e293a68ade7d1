"""Progress of a run: steps report each finished cell, whoever listens shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Progress:
    """One finished cell, `done` of `total` in its step of this run; `error` is empty where it succeeded.

    Cells are reported when they are committed, `more` of the same commit at once.
    """

    stage: str
    ticker: str
    month: pd.Timestamp | None
    done: int
    total: int
    error: str = ""
    more: bool = False


Listener = Callable[[Progress], None]
_listeners: list[Listener] = []


def report(progress: Progress) -> None:
    """Pass `progress` to every listener of this process."""
    for listener in _listeners:
        listener(progress)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send the progress of this process to `listener` inside the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
