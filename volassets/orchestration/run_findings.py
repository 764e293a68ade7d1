"""What a Dagster run has recorded that its owner should hear of."""

from collections.abc import Iterable, Sequence

import dagster as dg

from volassets.pipeline.cells import Scope, parse_partition
from volassets.pipeline.context import Context
from volassets.pipeline.price_steps import PRICES
from volassets.pipeline.risk_steps import BACKTESTS
from volassets.pipeline.run_events import CHECK, STALE, VIOLATION, stale_prices, violations
from volassets.settings import Settings

EVENTS = {dg.DagsterEventType.ASSET_CHECK_EVALUATION, dg.DagsterEventType.ASSET_MATERIALIZATION}


def events_of(instance: dg.DagsterInstance, run_id: str) -> list[dg.DagsterEvent]:
    """Return the materializations and the results of checks of a run."""
    logs = instance.all_logs(run_id, of_type=EVENTS)
    return [entry.dagster_event for entry in logs if entry.dagster_event is not None]


def failed_checks(events: Iterable[dg.DagsterEvent]) -> list[str]:
    """Return a line per check that failed with the severity of an error."""
    found = []
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            result = event.asset_check_evaluation_data
            if not result.passed and result.severity == dg.AssetCheckSeverity.ERROR:
                found.append(
                    f"{result.check_name}: {result.description or result.partition or result.asset_key.path[-1]}"
                )
    return found


def run_findings(settings: Settings, events: Sequence[dg.DagsterEvent]) -> dict[str, list[str]]:
    """Return what a run that did not fail has found, by kind of event, one line each."""
    risk, prices = (_tickers(events, step) for step in (BACKTESTS, PRICES))
    with Context(settings) as context:
        return {
            CHECK: failed_checks(events),
            VIOLATION: violations(context, risk) if risk else [],
            STALE: stale_prices(context, prices) if prices else [],
        }


def _tickers(events: Iterable[dg.DagsterEvent], step: str) -> list[str]:
    """Return the tickers for which a run has materialized a step."""
    keys = (
        event.partition
        for event in events
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION
        and event.asset_key == dg.AssetKey(step)
        and event.partition
    )
    return [parse_partition(Scope.TICKER, key).ticker for key in dict.fromkeys(keys)]
