"""What every asset shares: partitions, the run behind a context, its cells, code versions."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from volassets.errors import VolassetsError
from volassets.orchestration.fingerprints import digest
from volassets.orchestration.inputs import Run
from volassets.orchestration.killed import hold_run
from volassets.orchestration.stages import CellsFailed, Outcome
from volassets.partitions import Cells, cells_of_keys, grid_key
from volassets.settings import Settings

# All three are used as documented and are marked beta or preview by name on every call.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*(backfill_policy|MultiToSingleDimension).*")
warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*partitions_def on an AssetCheckSpec.*")

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
PARTITION_TAG = "dagster/partition"
FORCE_TAG = "volassets/force"
OWNER = "team:volassets"
ONE_RUN = dg.BackfillPolicy.single_run()


def ticker_partitions(settings: Settings) -> dg.StaticPartitionsDefinition:
    """One partition per ticker of the settings' list."""
    return dg.StaticPartitionsDefinition(list(settings.tickers))


def grid_partitions(settings: Settings) -> dg.MultiPartitionsDefinition:
    """Refit month x ticker; the running month exists."""
    months = dg.MonthlyPartitionsDefinition(f"{settings.start_month}-01", end_offset=1)
    return dg.MultiPartitionsDefinition({"refit_month": months, "ticker": ticker_partitions(settings)})


def by_ticker() -> dg.MultiToSingleDimensionPartitionMapping:
    """Every month of a ticker depends on, or feeds, the ticker's own partition."""
    return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name="ticker")


def run_of(context: dg.AssetExecutionContext) -> Run:
    """Return the run behind an asset's context."""
    settings: Settings = context.resources.settings
    hold_run(settings.home, context.run.run_id)
    return Run(settings, force=context.run.tags.get(FORCE_TAG) == "true", log=context.log.info)


def tickers_of(context: dg.AssetExecutionContext) -> list[str]:
    """Return the tickers of a run over ticker partitions; Failure as in `cells_of`."""
    _require_one_meaning(context.run.tags)
    return list(context.partition_keys)


def cells_of(context: dg.AssetExecutionContext) -> Cells:
    """Return the exact cells of a run over the grid, whatever shape it was asked in.

    Raises
    ------
    Failure
        If the run's tags contradict its keys, as those of a job backfill do: Dagster would compute
        one cell and report a whole range as done.
    """
    _require_one_meaning(context.run.tags)
    return cells_of_keys(context.partition_keys)


def _require_one_meaning(tags: Mapping[str, str]) -> None:
    first, last = tags.get(RANGE_START_TAG), tags.get(RANGE_END_TAG)
    single = [value for tag, value in tags.items() if tag == PARTITION_TAG or tag.startswith(f"{PARTITION_TAG}/")]
    if single and first != last:
        raise dg.Failure(
            f"this run is tagged with the range {first} ... {last} and with the single partition {'|'.join(single)}: "
            "a backfill of a job would compute that one and report them all. Nothing was computed. "
            "Start the backfill from the asset page, or with `volassets run`.",
            allow_retries=False,
        )


def code_version(settings: Settings, *parts: Any) -> str:
    """Return an asset's code version: it changes with the settings and code that its rows depend on."""
    return digest(settings.horizons, settings.lags, settings.proxy, *parts)


def grid_events(
    context: dg.AssetExecutionContext,
    compute: Callable[[Run, Cells], Mapping[str, Outcome]],
    numbers: Callable[[Run, list[str]], Mapping[str, Mapping[str, Any]]],
) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult]:
    """Compute a grid asset's cells and yield what Dagster records: the cells, with numbers to plot.

    Where some cells fail, those that are complete are recorded one by one before the failure, so
    that Dagster's view agrees with the tables.

    Parameters
    ----------
    context : AssetExecutionContext
    compute : callable
        The stage.
    numbers : callable
        Of the run and its tickers: grid key -> {name: number} of what is stored afterwards.

    Raises
    ------
    Failure
        With the errors' texts.
    """
    run, cells = run_of(context), cells_of(context)
    try:
        outcomes = compute(run, cells)
    except CellsFailed as error:
        described = numbers(run, list(cells))
        for ticker, months in error.finished.items():
            for key in (grid_key(ticker, month) for month in months):
                yield dg.AssetMaterialization(
                    context.asset_key, partition=key, metadata=dict(described.get(key, {})), tags=dimension_tags(key)
                )
        raise fail_with(error) from error
    except VolassetsError as error:
        raise fail_with(error) from error
    keys = set(context.partition_keys)
    for key, described_cell in numbers(run, list(cells)).items():
        if key in keys:
            context.add_asset_metadata(dict(described_cell), partition_key=key)
    computed = sum(len(outcome.computed) for outcome in outcomes.values())
    unchanged = sum(len(outcome.unchanged) for outcome in outcomes.values())
    context.log.info(f"{computed} computed, {unchanged} unchanged: their inputs have not changed")
    yield dg.MaterializeResult(metadata={"computed": computed, "unchanged": unchanged})


def ticker_events(
    context: dg.AssetExecutionContext, failures: Mapping[str, Exception], per_ticker: Mapping[str, Mapping[str, Any]]
) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult]:
    """Yield what Dagster records of a ticker asset: every ticker that succeeded, also where another one failed.

    Raises
    ------
    Failure
        With the texts of the failures.
    """
    if failures:
        for ticker, described in per_ticker.items():
            yield dg.AssetMaterialization(context.asset_key, partition=ticker, metadata=dict(described))
        raise fail_with(VolassetsError("\n".join(map(str, failures.values()))))
    for ticker, described in per_ticker.items():
        context.add_asset_metadata(dict(described), partition_key=ticker)
    yield dg.MaterializeResult()


def dimension_tags(key: str) -> dict[str, str]:
    """Return the tags that Dagster puts on the events of one cell."""
    month, _, ticker = key.partition("|")
    return {"dagster/partition/refit_month": month, "dagster/partition/ticker": ticker}


def fail_with(error: Exception) -> dg.Failure:
    """Return the failure that shows an error's text without a traceback and is not retried."""
    return dg.Failure(str(error), allow_retries=False, metadata={"kind": type(error).__name__})


def numbers_per_cell(frame: pd.DataFrame, columns: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return grid key -> {column: number} for the UI to plot over time; NULL is left out."""
    cells: dict[str, dict[str, float]] = {}
    for row in frame.to_dict("records"):
        key = grid_key(row["ticker"], row["refit_month"])
        cells.setdefault(key, {}).update({c: float(row[c]) for c in columns if pd.notna(row[c])})
    return cells
