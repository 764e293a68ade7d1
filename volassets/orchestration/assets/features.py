"""The feature table: `realized_vol_features`, one partition per ticker."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from volassets.errors import VolassetsError
from volassets.orchestration import metadata, pictures
from volassets.orchestration.assets.prices import require_refreshed
from volassets.orchestration.fingerprints import CODE_VERSIONS
from volassets.orchestration.graph import (
    ONE_RUN,
    OWNER,
    code_version,
    run_of,
    ticker_events,
    ticker_partitions,
    tickers_of,
)
from volassets.orchestration.ticker_stages import build_feature_table
from volassets.settings import Settings


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the feature asset."""

    @dg.asset(
        partitions_def=ticker_partitions(settings),
        backfill_policy=ONE_RUN,
        deps=["raw_prices"],
        group_name="features",
        owners=[OWNER],
        kinds={"duckdb", "pandas"},
        required_resource_keys={"settings"},
        code_version=code_version(settings, CODE_VERSIONS["features"]),
        metadata=metadata.definition("realized_vol_features", settings),
    )
    def realized_vol_features(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Variance proxies, indicators and network inputs per session.

        Grain: one row per ticker and session; the row of a date uses bars up to and including its
        close. NULL only in the warm-up. Each column's formula, unit and source is in its comment.
        """
        run, failures, described = run_of(context), {}, {}
        for ticker in tickers_of(context):
            try:
                require_refreshed(context, run, ticker)
                features = build_feature_table(run, ticker)
            except VolassetsError as error:
                context.log.error(str(error))
                failures[ticker] = error
                continue
            described[ticker] = {
                "rows": len(features),
                "columns": features.shape[1],
                "proxy_ratio": float(features["ratio"].iloc[-1]),
                **pictures.prices(run, ticker),
            }
        context.add_asset_metadata(metadata.lineage("realized_vol_features"))
        yield from ticker_events(context, failures, described)

    return [realized_vol_features]
