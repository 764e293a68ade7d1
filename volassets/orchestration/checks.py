"""Asset checks: what a user sees red or yellow in the UI, one result per partition.

A run over several partitions records a result for each; Dagster itself would keep the last one.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import dagster as dg
import pandas as pd

from volassets.clock import utc_now
from volassets.evaluation import checks
from volassets.features.catalogue import catalogue
from volassets.market.findings import Finding
from volassets.market.validation import check_bars
from volassets.orchestration.graph import grid_partitions, ticker_partitions
from volassets.orchestration.inputs import Run, TickerInputs
from volassets.orchestration.refusals import BARS_VALID, described
from volassets.orchestration.stages import UNSTORED_FITS
from volassets.partitions import cells_of_keys, grid_key
from volassets.settings import Settings

Findings = dict[str, list[Finding]]
Find = Callable[[Run, Sequence[str]], Findings]


def build_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Return every check of the graph, in pipeline order."""
    tickers, grid = ticker_partitions(settings), grid_partitions(settings)
    found = [
        _check("raw_prices", BARS_VALID, "Stored bars break no rule; refused ones are listed here.", tickers, _errors),
        _check("raw_prices", "bars_plausible", "Nothing about the bars looks odd.", tickers, _warnings, blocking=False),
        _check(
            "realized_vol_features", "features_finite", "No value is missing after its warm-up.", tickers, _features
        ),
        _check("selected_features", "selection_not_empty", "Every month keeps at least one feature.", grid, _selection),
    ]
    for family in dict.fromkeys(model.family for model in settings.chosen_models.values()):
        if family not in UNSTORED_FITS:
            table = f"{family}_fits"
            text = "Every fit of the month converged."
            found.append(_check(table, f"{table}_converged", text, grid, partial(_fits, table), blocking=False))
        table = f"{family}_forecasts"
        text = "Positive, finite and moving inside the month."
        found.append(_check(table, f"{table}_sane", text, grid, partial(_forecasts, table), blocking=False))
    found += [
        _check(
            "comparison_reports",
            "intervals_cover",
            "Realised coverage is what the intervals promise.",
            tickers,
            _coverage,
            blocking=False,
        ),
        _check(
            "comparison_reports",
            "no_leakage",
            "The last leakage audit found nothing.",
            tickers,
            _audit,
            blocking=False,
        ),
    ]
    return found


def _check(
    asset: str, name: str, description: str, partitions: dg.PartitionsDefinition, find: Find, blocking: bool = True
) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name=name,
        description=description,
        partitions_def=partitions,
        blocking=blocking,
        required_resource_keys={"settings"},
    )
    def check(context: dg.AssetCheckExecutionContext) -> Any:
        op = context.op_execution_context
        keys = list(op.partition_keys)
        found = find(Run(op.resources.settings), keys)
        if op.has_partition_key:
            yield _result(found.get(keys[0], []))
            return
        failing = [key for key in keys if _failed(found.get(key, []))]
        # A bad ticker stops a run that holds others only if none of them can go on.
        stops = blocking and {_ticker(key) for key in failing} == {_ticker(key) for key in keys}
        told = _told_by_the_asset(op, name)
        for key in keys:
            if key not in told:
                yield _evaluation(asset, name, key, found.get(key, []), stops)
        yield _overall(failing, keys)

    return check


def _told_by_the_asset(context: dg.OpExecutionContext, name: str) -> set[str]:
    """Return the partitions of which the asset's own step has shown why they failed; it saw the refused rows."""
    if name != BARS_VALID:
        return set()
    events = context.instance.all_logs(context.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [event.dagster_event.asset_check_evaluation_data for event in events if event.dagster_event]
    return {str(evaluation.partition) for evaluation in found if evaluation.check_name == name}


def _ticker(key: str) -> str:
    return key.rpartition("|")[2]


def _failed(findings: Sequence[Finding]) -> bool:
    return any(finding.severity == "error" for finding in findings)


def _severity(findings: Sequence[Finding]) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if _failed(findings) else dg.AssetCheckSeverity.WARN


def _result(findings: Sequence[Finding]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=not findings, severity=_severity(findings), metadata=described(findings))


def _evaluation(asset: str, name: str, key: str, findings: Sequence[Finding], stops: bool) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset),
        check_name=name,
        passed=not findings,
        severity=_severity(findings),
        metadata=described(findings),
        blocking=stops,
        partition=key,
    )


def _overall(failing: Sequence[str], keys: Sequence[str]) -> dg.AssetCheckResult:
    """Return the result of the run as a whole; the partitions have their own, so it never blocks."""
    severity = dg.AssetCheckSeverity.WARN
    metadata: dict[str, Any] = {"partitions": len(keys), "failing": ", ".join(failing[:10]) or "none"}
    return dg.AssetCheckResult(passed=not failing, severity=severity, metadata=metadata)


def _bars(run: Run, ticker: str, severity: str) -> list[Finding]:
    stored = run.bars(ticker)
    if stored.empty:
        return [Finding("no_bars", "error", f"no bars of {ticker} are stored")] if severity == "error" else []
    found = check_bars(ticker, stored, run.calendar(ticker), utc_now().date(), proxy=run.settings.proxy)
    return [finding for finding in found if finding.severity == severity]


def _errors(run: Run, keys: Sequence[str]) -> Findings:
    """Blocking rules on the stored bars, and why a newer answer of the source was refused."""
    refused = run.warehouse.read("data_quality", ticker=list(keys), severity="error")
    found = {ticker: _bars(run, ticker, "error") for ticker in keys}
    for row in refused.itertuples():
        found[str(row.ticker)].append(Finding(str(row.check_name), "error", str(row.message)))
    return found


def _warnings(run: Run, keys: Sequence[str]) -> Findings:
    return {ticker: _bars(run, ticker, "warning") for ticker in keys}


def _features(run: Run, keys: Sequence[str]) -> Findings:
    warm_up = {feature.name: feature.warm_up for feature in catalogue(run.settings.lags)}
    found = {}
    for ticker in keys:
        features = TickerInputs(run, ticker, pd.DataFrame()).features
        found[ticker] = checks.features_not_finite(features, warm_up)
    return found


def _cells(run: Run, table: str, columns: str, keys: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the rows of each grid key of the run that has any."""
    cells = cells_of_keys(keys)
    months = sorted({month.date() for listed in cells.values() for month in listed})
    sql = f"""
        SELECT ticker, refit_month, {columns} FROM {table}
        WHERE list_contains($tickers, ticker) AND list_contains($months, refit_month) ORDER BY ALL
    """
    rows = run.warehouse.query(sql, {"tickers": list(cells), "months": months})
    wanted = set(keys)
    for (ticker, month), group in rows.groupby(["ticker", "refit_month"], sort=False):
        key = grid_key(str(ticker), pd.Timestamp(str(month)))
        if key in wanted:
            yield key, group.reset_index(drop=True)


def _selection(run: Run, keys: Sequence[str]) -> Findings:
    rows = _cells(run, "selected_features", "feature, selected, reason", keys)
    return {key: checks.selection_empty(group) for key, group in rows}


def _fits(table: str, run: Run, keys: Sequence[str]) -> Findings:
    rows = _cells(run, table, "model, converged, message", keys)
    return {key: checks.fits_not_converged(group) for key, group in rows}


def _forecasts(table: str, run: Run, keys: Sequence[str]) -> Findings:
    rows = _cells(run, table, "model, horizon, origin_date, variance", keys)
    return {key: checks.forecasts_broken(group) for key, group in rows}


def _coverage(run: Run, keys: Sequence[str]) -> Findings:
    board = run.warehouse.read("leaderboard", ticker=list(keys))
    return {
        ticker: checks.coverage_off(board[board["ticker"] == ticker], run.settings.interval_level) for ticker in keys
    }


def _audit(run: Run, keys: Sequence[str]) -> Findings:
    results = run.warehouse.read("audit_results", ticker=list(keys))
    return {ticker: checks.audit_failures(results[results["ticker"] == ticker]) for ticker in keys}
