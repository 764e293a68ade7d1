"""What the steps' checks find, as Dagster shows it: one result per partition, red or yellow with the findings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from volassets.market.findings import Finding
from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.freshness import unjudged
from volassets.pipeline.partition_result import PartitionResult
from volassets.pipeline.price_steps import BARS_VALID
from volassets.pipeline.state import State
from volassets.pipeline.step import Step
from volassets.reporting.cell_text import is_missing
from volassets.settings import Settings

SHOWN_ROWS = 20
NOTE = "note"


def evaluations(
    state: State,
    step: Step,
    findings: Mapping[Partition, Mapping[str, Sequence[Finding]]],
    items: Sequence[PartitionResult],
) -> Iterator[tuple[dg.AssetCheckKey, dg.AssetCheckEvaluation]]:
    """Yield the results of a step's checks, one per partition that was examined.

    A check passes only where it found nothing but notes; its severity is that of the worst finding.
    """
    refused = {item.partition: state.context.refusals.get(item.partition.ticker) for item in items if item.failures}
    asset = dg.AssetKey(step.name)
    for partition, by_check in findings.items():
        for check in step.checks:
            found = by_check.get(check.name)
            if check.name == BARS_VALID and refused.get(partition) is not None:
                found = _refusal(refused[partition])
            elif found is None:
                continue
            fresh = {finding.message: finding for finding in state.context.findings.get(partition.ticker, ())}
            # The stored findings have no rows; those of this run's own fetch do.
            shown = [fresh.get(finding.message, finding) for finding in found]
            yield (
                dg.AssetCheckKey(asset, check.name),
                dg.AssetCheckEvaluation(
                    asset_key=asset,
                    check_name=check.name,
                    passed=not any(finding.severity != NOTE for finding in found),
                    severity=_severity(found),
                    description=_text(partition, found),
                    metadata=described(shown),
                    blocking=check.blocking,
                    partition=partition.key or None,
                ),
            )


def age_evaluations(context: Context, steps: Sequence[Step]) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield how old the newest bars and forecasts are at the context's moment, of every listed ticker that grows."""
    places = [Partition(ticker) for ticker in context.settings.tickers]
    state = State(context, context.settings.tickers)
    for step in steps:
        asked = {check.name: check.find(state, places) for check in step.checks if check.of_now} if places else {}
        found = {place: {name: each[place] for name, each in asked.items() if place in each} for place in places}
        yield from (evaluation for _, evaluation in evaluations(state, step, found if asked else {}, ()))


def ages_not_judged(
    settings: Settings, steps: Sequence[Step], said: Iterable[tuple[str, str]]
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield that an age is not judged any more, of those pairs of check name and ticker of which one was `said`.

    Dagster goes on showing the last result: without another one a closed ticker would stay red.
    """
    assets = {check.name: dg.AssetKey(step.name) for step in steps for check in step.checks if check.of_now}
    for check_name, ticker in said:
        reason = unjudged(settings, ticker) if ticker in settings.tickers and check_name in assets else ""
        if reason:
            yield dg.AssetCheckEvaluation(
                asset_key=assets[check_name],
                check_name=check_name,
                passed=True,
                description=f"{ticker}: not judged: {reason}",
                metadata={"findings": 0},
                partition=ticker,
            )


def _refusal(error: Exception | None) -> list[Finding]:
    errors = [finding for finding in getattr(error, "findings", []) if finding.severity == "error"]
    return errors or [Finding("source", "error", str(error))]


def _text(partition: Partition, findings: Sequence[Finding]) -> str:
    """Return what was found of a partition: an overview shows the text without the partition."""
    start = f"{partition.label}: "
    messages = [finding.message.removeprefix(start) for finding in findings]
    return start + (" ".join(text[:1].upper() + text[1:] for text in messages) or "nothing found")


def _severity(findings: Sequence[Finding]) -> dg.AssetCheckSeverity:
    warned = {finding.severity for finding in findings} - {NOTE} == {"warning"}
    return dg.AssetCheckSeverity.WARN if warned else dg.AssetCheckSeverity.ERROR


def described(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return a check's metadata: how many findings, their messages, the offending rows of each."""
    metadata: dict[str, Any] = {"findings": sum(finding.severity != NOTE for finding in findings)}
    if findings:
        listed = [{"severity": finding.severity, "message": finding.message} for finding in findings]
        metadata["messages"] = table_of(pd.DataFrame(listed), len(listed))
    for finding in findings:
        if len(finding.rows):
            metadata[f"rows: {finding.check}"] = table_of(finding.rows)
    return metadata


def table_of(rows: pd.DataFrame, shown_rows: int = SHOWN_ROWS) -> dg.TableMetadataValue:
    """Return the first rows of a frame as a table of the UI; dates as text, NaN left empty."""
    shown = rows.head(shown_rows)
    columns = [dg.TableColumn(str(name), _kind(shown[name])) for name in shown.columns]
    records = [dg.TableRecord({str(name): _plain(value) for name, value in row.items()}) for _, row in shown.iterrows()]
    return dg.MetadataValue.table(records=records, schema=dg.TableSchema(columns=columns))


def _kind(values: pd.Series) -> str:
    if pd.api.types.is_bool_dtype(values):
        return "bool"
    if pd.api.types.is_integer_dtype(values):
        return "int"
    return "float" if pd.api.types.is_float_dtype(values) else "string"


def _plain(value: Any) -> str | int | float | bool | None:
    if is_missing(value):
        return None
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    if hasattr(value, "item"):
        value = value.item()
    return value if isinstance(value, str | int | float | bool) else str(value)
