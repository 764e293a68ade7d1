"""The result of one partition of a step, and how finished cells are put into one commit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pandas as pd

from volassets.market.findings import Finding
from volassets.pipeline.cells import Partition
from volassets.pipeline.step import Step
from volassets.warehouse.store import Replacement, Upsert

# A commit costs as much as a small fit, so finished cells wait for each other this long, and longer where it costs more
# than this share of the time, but never longer than the most that a killed run may lose.
COMMIT_SECONDS, COMMIT_SHARE, MOST_COMMIT_SECONDS = 1.0, 0.05, 5.0
# A commit takes 12 KB of memory for a row of features, so that time alone is no limit where workers are quick.
MOST_COMMIT_ROWS = 20_000


class CommitPace:
    """Says when finished cells are to be committed: by their rows, the time since the last commit and what it took."""

    def __init__(self) -> None:
        self._last, self._wait, self._rows = time.monotonic(), COMMIT_SECONDS, 0

    def add(self, rows: int) -> None:
        """Count rows that wait for the next commit."""
        self._rows += rows

    @property
    def is_due(self) -> bool:
        """Whether finished cells have waited long enough, or have as many rows as one commit may have."""
        return self._rows >= MOST_COMMIT_ROWS or time.monotonic() - self._last >= self._wait

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Measure the commit inside the block."""
        start = time.monotonic()
        yield
        self._last, self._rows = time.monotonic(), 0
        self._wait = commit_wait(self._last - start)


def commit_wait(seconds: float) -> float:
    """Return the seconds to the next commit after one that took `seconds`."""
    return min(max(COMMIT_SECONDS, seconds / COMMIT_SHARE), MOST_COMMIT_SECONDS)


@dataclass
class PartitionResult:
    """What a step did for one partition.

    Attributes
    ----------
    computed, unchanged : list of str
        Models (an empty text for a step without models) that were computed, and whose stored rows were right.
    failures : dict of str to str
        Model to message.
    nothing : str
        Why there was nothing to compute; empty where there was something.
    rows : int
        Rows written to the step's own table.
    seconds : float
        Time of the workers.
    findings : mapping of str to sequence of Finding
        By check; a check that examined nothing of the partition is not in it.
    """

    step: Step
    partition: Partition
    computed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    nothing: str = ""
    rows: int = 0
    seconds: float = 0.0
    findings: Mapping[str, Sequence[Finding]] = field(default_factory=dict)


def by_table(changes: Sequence[Replacement | Upsert]) -> list[Replacement | Upsert]:
    """Join the changes of each table into one: what a commit costs grows with their number, not their rows."""
    tables: dict[tuple[str, type], list[Replacement | Upsert]] = {}
    for change in changes:
        tables.setdefault((change.table, type(change)), []).append(change)
    return [_joined(parts) for parts in tables.values()]


def _joined(parts: Sequence[Replacement | Upsert]) -> Replacement | Upsert:
    first = parts[0]
    if len(parts) == 1:
        return first
    rows = pd.concat([part.frame for part in parts if len(part.frame)] or [first.frame], ignore_index=True)
    if isinstance(first, Upsert):
        return Upsert(first.table, rows)
    cells = [part.cells for part in parts if isinstance(part, Replacement) and part.cells is not None]
    return Replacement(first.table, rows, pd.concat(cells, ignore_index=True))
