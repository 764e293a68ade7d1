"""What a step of the pipeline is: what it is computed from, what it writes, and how that is examined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from volassets.market.findings import Finding
from volassets.models.protocol import Model
from volassets.pipeline.cells import OF_PORTFOLIOS, Partition, Scope
from volassets.warehouse.store import Replacement, Upsert

if TYPE_CHECKING:
    from volassets.features.covariates import Covariate
    from volassets.market.calendar import SessionCalendar
    from volassets.pipeline.state import State
    from volassets.settings import Settings

Rows = Mapping[str, pd.DataFrame]
"""Table name to rows."""
Load = Callable[["State", Sequence[Partition]], Mapping[Partition, Rows]]
Find = Callable[["State", Sequence[Partition]], Mapping[Partition, Sequence[Finding]]]
OfCell = Callable[["State", Partition, Any], str]
"""Of the state, a partition and its model; None for a step without models."""
Requirement = tuple[str, Partition, str, str]
"""Table, partition, model and hash of a stored cell that another one is computed from."""


@dataclass(frozen=True)
class Inputs:
    """Everything that one cell is computed from; nothing else is read.

    Attributes
    ----------
    model : Model
        None for a step without models.
    rows : mapping of str to DataFrame
        Rows of upstream tables (`Step.load`).
    features, calendars : mapping
        By ticker: of the partition's own, or of every ticker of a pool.
    bars : DataFrame or None
        Bars of the ticker, for a step that reads no features.
    covariates : sequence of Covariate
        Other series that are inputs of the ticker, beside `bars`.
    read_file : callable
        From the path of a checkpoint to its content.
    before : tuple of Partition and Output, or None
        Of a chained step: the cell of the same model that was computed just before.
    ratios : dict
        Proxy ratios c_m by ticker and month, that cells which are computed together need only once.
    """

    settings: Settings
    partition: Partition
    model: Any
    data_hash: str
    rows: Rows
    features: Mapping[str, pd.DataFrame]
    bars: pd.DataFrame | None
    calendars: Mapping[str, SessionCalendar]
    read_file: Callable[[Any], bytes]
    before: tuple[Partition, Output] | None = None
    covariates: Sequence[Covariate] = ()
    ratios: dict[tuple[str, pd.Timestamp], float] = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """The feature table of the partition's own ticker."""
        return self.features[self.partition.ticker]

    @property
    def calendar(self) -> SessionCalendar:
        """The calendar of the partition's own ticker."""
        return self.calendars[self.partition.ticker]

    @property
    def month(self) -> pd.Timestamp:
        """The refit month of the partition."""
        return self.partition.refit_month


@dataclass(frozen=True)
class Output:
    """The rows of a cell by table, without the columns that name the cell, files by path, and lines for the log."""

    tables: Rows
    files: Mapping[str, bytes] = field(default_factory=dict)
    log: Sequence[str] = ()

    @property
    def rows(self) -> int:
        """The number of rows of all tables."""
        return sum(map(len, self.tables.values()))


@dataclass(frozen=True)
class Check:
    """What is examined of a step's stored rows.

    `find` returns the findings per partition: empty for a good one; a partition that it could not examine is left
    out. A finding of a blocking check stops what follows. One that is `of_now` asks how old something is at this
    moment: the daemon asks it, and whoever wants to know, but no run.
    """

    name: str
    description: str
    find: Find
    blocking: bool = False
    of_now: bool = False


@dataclass(frozen=True)
class Step:
    """One step of the pipeline: an asset, its table and its cells.

    Attributes
    ----------
    tables : tuple of str
        Tables that it writes; the first one keeps the hash of each cell.
    upstream : tuple of str
        Steps whose rows it reads.
    description : str
        Source, unit, grain and timing, for the UI.
    fingerprint : callable
        The hash that a cell should have; empty where there is nothing to compute it from.
    compute : callable or None
        From `Inputs` to `Output`, a pure function; None for the step that takes bars in from outside.
    load : callable
        What `compute` needs of the store, for many partitions at once.
    own_rows : callable
        The part of what `load` returns that the cell of a model needs: a worker is sent a copy of it.
    requires : callable
        Stored cells that must be right before this one can be computed.
    models : tuple of Model
        Models with a cell of their own; empty for a step without models.
    needs_features : bool
        Whether `compute` reads the feature table.
    asked_for : callable
        Whether the settings want the step for a refit month.
    gap : callable
        Why a cell has nothing to compute; empty where it has.
    numbers : str
        Query for what the UI shows of a cell, with ``{table}``, ``$tickers`` and ``$models``: one row per cell, or per
        cell and model; its columns beside ticker and refit_month.
    group, kinds : str, tuple of str
        Group and libraries, as the UI shows them.
    job : str
        Name of the job of a block that begins with this step.
    has_page : bool
        Whether an HTML page shows each of its partitions.
    stage : str
        Name of its rows in the leakage audit; steps of one stage are audited together. The step's name by default.
    cells_per_job : int
        Cells that a worker is given at once.
    chained : bool
        Whether a cell goes on from the same model's cell of an earlier month: a worker is given all of a model's, in
        order.
    names : tuple of str
        Portfolios with partitions, of a step about portfolios.
    stale_reason : str
        Why a stored cell is stale, in words.
    """

    name: str
    scope: Scope
    tables: tuple[str, ...]
    upstream: tuple[str, ...]
    description: str
    group: str
    fingerprint: OfCell
    compute: Callable[[Inputs], Output] | None
    load: Load = lambda _state, partitions: {partition: {} for partition in partitions}
    own_rows: Callable[[Rows, Any], Rows] = lambda rows, _model: rows
    requires: Callable[[State, Partition, Any], Iterable[Requirement]] = lambda *_: ()
    models: tuple[Model, ...] = ()
    needs_features: bool = True
    asked_for: Callable[[Settings, pd.Timestamp], bool] = lambda *_: True
    gap: OfCell = lambda *_: ""
    checks: tuple[Check, ...] = ()
    numbers: str = ""
    kinds: tuple[str, ...] = ("python",)
    job: str = ""
    has_page: bool = False
    stage: str = ""
    cells_per_job: int = 16
    chained: bool = False
    names: tuple[str, ...] = ()
    stale_reason: str = ""

    @property
    def table(self) -> str:
        """The table that keeps the hashes."""
        return self.tables[0]

    @property
    def variants(self) -> tuple[Model | None, ...]:
        """The models with a cell of their own, or None alone for a step without models."""
        return self.models or (None,)

    def writes(self, partition: Partition, model: str, data_hash: str, output: Output) -> list[Replacement | Upsert]:
        """Return what a computed cell replaces in the store."""
        owner = "portfolio" if self.scope in OF_PORTFOLIOS else "ticker"
        names = {owner: partition.ticker, "refit_month": partition.month, "model": model}
        names = {name: value for name, value in names.items() if value}
        cell = pd.DataFrame([names]) if names else None
        # A fit over all tickers is one cell; what is stored beside it has a cell per ticker.
        return [
            Replacement(
                name,
                rows.assign(**names, **({"data_hash": data_hash} if name == self.table else {})),
                rows[["ticker"]].drop_duplicates().assign(**names)
                if self.scope is Scope.MONTH and name != self.table
                else cell,
            )
            for name, rows in output.tables.items()
        ]
