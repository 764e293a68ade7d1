"""What came of it: `comparison_reports` per ticker, `panel_report` over all tickers."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from volassets.errors import VolassetsError
from volassets.orchestration import metadata, pictures
from volassets.orchestration.fingerprints import CODE_VERSIONS
from volassets.orchestration.graph import (
    ONE_RUN,
    OWNER,
    by_ticker,
    code_version,
    fail_with,
    run_of,
    ticker_events,
    ticker_partitions,
    tickers_of,
)
from volassets.orchestration.ticker_stages import backtest_rules, compare, compare_panel
from volassets.reporting.files import write_report
from volassets.settings import Settings

SHOWN = ["model", "horizon", "n", "qlike", "qlike_vs_gjr", "dm_p", "mcs_p", "rmse", "mae", "r2", "coverage_90"]


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the comparison assets."""
    families = dict.fromkeys(model.family for model in settings.chosen_models.values())
    forecasts = [dg.AssetDep(f"{family}_forecasts", partition_mapping=by_ticker()) for family in families]

    @dg.asset(
        partitions_def=ticker_partitions(settings),
        backfill_policy=ONE_RUN,
        deps=[*forecasts, "realized_vol_features"],
        group_name="evaluation",
        owners=[OWNER],
        kinds={"duckdb", "python"},
        required_resource_keys={"settings"},
        code_version=code_version(settings, CODE_VERSIONS["comparison"], str(backtest_rules(settings))),
        metadata=metadata.definition("leaderboard", settings),
    )
    def comparison_reports(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Leaderboard, tests, backtests and value at risk of a ticker over all its forecasts, and its HTML report.

        Grain: one row per ticker, model and horizon in `leaderboard`; the other comparison tables
        beside it. Every score is of forecasts whose sessions have passed.
        """
        run, failures, described = run_of(context), {}, {}
        for ticker in tickers_of(context):
            try:
                tables = compare(run, ticker)
                report = write_report(run.warehouse, run.settings, ticker)
            except VolassetsError as error:
                context.log.error(str(error))
                failures[ticker] = error
                continue
            board = tables["leaderboard"]
            described[ticker] = {
                "leaderboard": metadata.markdown_table(board[SHOWN]),
                "verdicts": dg.MetadataValue.md("\n".join(f"- {text}" for text in tables["verdicts"]["text"])),
                "report": dg.MetadataValue.path(str(report)),
                "best_qlike": float(board.loc[board["horizon"] == board["horizon"].min(), "qlike"].min()),
                **pictures.comparison(run, ticker),
            }
        context.add_asset_metadata(metadata.score_lineage(families))
        yield from ticker_events(context, failures, described)

    @dg.asset(
        deps=[dg.AssetDep(comparison_reports, partition_mapping=dg.AllPartitionMapping())],
        group_name="evaluation",
        owners=[OWNER],
        kinds={"duckdb", "python"},
        required_resource_keys={"settings"},
        code_version=code_version(settings, CODE_VERSIONS["comparison"]),
        metadata=metadata.definition("panel_leaderboard", settings),
    )
    def panel_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The comparison over every ticker that has one: pooled scores, wins and pooled tests.

        Grain: one row per model and horizon.
        """
        run = run_of(context)
        try:
            tables = compare_panel(run)
            report = write_report(run.warehouse, run.settings, None)
        except VolassetsError as error:
            raise fail_with(error) from error
        return dg.MaterializeResult(
            metadata={
                "report": dg.MetadataValue.path(str(report)),
                "panel": metadata.markdown_table(tables["panel_leaderboard"].drop(columns="data_hash")),
                "verdicts": dg.MetadataValue.md("\n".join(f"- {text}" for text in tables["panel_verdicts"]["text"])),
            }
        )

    return [comparison_reports, panel_report]
