"""Bars in: `raw_prices`, one partition per ticker."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd

from volassets.errors import VolassetsError
from volassets.orchestration import metadata
from volassets.orchestration.graph import (
    ONE_RUN,
    OWNER,
    code_version,
    fail_with,
    run_of,
    ticker_partitions,
    tickers_of,
)
from volassets.orchestration.inputs import Run
from volassets.orchestration.refusals import refused_bars
from volassets.orchestration.ticker_stages import Ingested, ingest_prices
from volassets.settings import Settings


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the price asset."""

    @dg.asset(
        partitions_def=ticker_partitions(settings),
        backfill_policy=ONE_RUN,
        group_name="market",
        owners=[OWNER],
        kinds={"duckdb", settings.source},
        required_resource_keys={"settings", "source"},
        code_version=code_version(settings, settings.source),
        metadata=metadata.definition("raw_prices", settings),
        # The source retries what is worth retrying by itself.
        retry_policy=None,
    )
    def raw_prices(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Daily bars (open, high, low, close, adjusted close, volume) as the source gives them.

        Grain: one row per ticker and session. Blocking rules are checked before anything is
        written; only new and changed rows are, and a change of an old row is recorded in
        `price_revisions`. A ticker that fails keeps its stored bars, fails the check bars_valid and
        stops at the feature table; it does not stop the others.
        """
        run, failures = run_of(context), {}
        for ticker in tickers_of(context):
            try:
                ingested = ingest_prices(run, ticker, context.resources.source)
            except VolassetsError as error:
                context.log.error(str(error))
                failures[ticker] = error
                context.add_asset_metadata({"not_refreshed": str(error)}, partition_key=ticker)
                continue
            context.add_asset_metadata(_describe(ingested), partition_key=ticker)
        alone = len(failures) == len(context.partition_keys)
        for ticker, refusal in failures.items():
            yield refused_bars(ticker, refusal, blocking=alone)
        if alone:
            raise fail_with(VolassetsError("\n".join(map(str, failures.values()))))
        yield dg.MaterializeResult(data_version=_history_version(run, tickers_of(context)))

    return [raw_prices]


def _history_version(run: Run, tickers: list[str]) -> dg.DataVersion:
    """Return a version that changes when the past changes, not when bars are appended.

    Appended bars leave every earlier fit as it is, so they must not mark it stale in the UI.
    """
    revised = run.warehouse.read("price_revisions")
    return dg.DataVersion(f"revisions-{int(revised['ticker'].isin(tickers).sum()) if len(revised) else 0}")


def require_refreshed(context: dg.AssetExecutionContext, run: Run, ticker: str) -> None:
    """Stop `ticker` where this very run could not refresh its bars.

    Raises
    ------
    VolassetsError
        With the reason.
    """
    selected = context.run.asset_selection or context.job_def.asset_layer.executable_asset_keys
    if dg.AssetKey("raw_prices") not in selected:
        return
    refusals = run.warehouse.read("data_quality", ticker=ticker, severity="error")
    if len(refusals):
        raise VolassetsError(f"{ticker} stops here: {' '.join(refusals['message'])}")


def _describe(ingested: Ingested) -> dict[str, dg.MetadataValue]:
    bars: pd.DataFrame = ingested.bars
    warnings = [f"{finding.severity}: {finding.message}" for finding in ingested.findings]
    return {
        "rows": dg.MetadataValue.int(len(bars)),
        "changed_rows": dg.MetadataValue.int(ingested.changed_rows),
        "revised_values": dg.MetadataValue.int(len(ingested.revised)),
        "first_bar": dg.MetadataValue.text(f"{bars.index[0]:%Y-%m-%d}"),
        "last_bar": dg.MetadataValue.text(f"{bars.index[-1]:%Y-%m-%d}"),
        "findings": dg.MetadataValue.md("\n".join(f"- {line}" for line in warnings) or "none"),
    }
