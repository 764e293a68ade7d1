"""Progress of a run: assets report, whoever listens shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Progress:
    """One thing done inside a stage.

    Attributes
    ----------
    stage : str
        Asset name.
    ticker : str
    month : Timestamp or None
        None for a stage without months.
    done, total : int
        Cells finished and asked for, in this stage of this run.
    error : str
        Empty where the cell succeeded.
    """

    stage: str
    ticker: str
    month: pd.Timestamp | None
    done: int
    total: int
    error: str = ""


Listener = Callable[[Progress], None]
_listeners: list[Listener] = []


def report(progress: Progress) -> None:
    """Tell every listener of this process."""
    for listener in _listeners:
        listener(progress)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send the steps of this process to `listener` inside the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
