"""What a check's result looks like: the findings as text, the offending rows as a table."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pandas as pd

from volassets.market.findings import Finding

BARS_VALID = "bars_valid"
SHOWN_ROWS = 20


def table_of(rows: pd.DataFrame) -> dg.TableMetadataValue:
    """Return the first rows of a frame as a table of the UI; dates as text, NaN left empty."""
    shown = rows.head(SHOWN_ROWS)
    columns = [dg.TableColumn(str(name), _kind(shown[name])) for name in shown.columns]
    records = [dg.TableRecord({str(name): _plain(value) for name, value in row.items()}) for _, row in shown.iterrows()]
    return dg.MetadataValue.table(records=records, schema=dg.TableSchema(columns=columns))


def described(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return a check's metadata: how many findings, their messages, the offending rows of each."""
    listed = "\n".join(f"- {finding.severity}: {finding.message}" for finding in findings)
    metadata: dict[str, Any] = {"findings": len(findings), "messages": dg.MetadataValue.md(listed or "none")}
    for finding in findings:
        if len(finding.rows):
            metadata[f"rows: {finding.check}"] = table_of(finding.rows)
    return metadata


def refused_bars(ticker: str, error: Exception, blocking: bool) -> dg.AssetCheckEvaluation:
    """Return the failed check of a ticker whose bars were not taken; the stored bars cannot show it."""
    findings = [finding for finding in getattr(error, "findings", []) if finding.severity == "error"]
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("raw_prices"),
        check_name=BARS_VALID,
        passed=False,
        metadata=described(findings or [Finding("source", "error", str(error))]),
        severity=dg.AssetCheckSeverity.ERROR,
        blocking=blocking,
        partition=ticker,
    )


def _kind(values: pd.Series) -> str:
    if pd.api.types.is_bool_dtype(values):
        return "bool"
    if pd.api.types.is_integer_dtype(values):
        return "int"
    return "float" if pd.api.types.is_float_dtype(values) else "string"


def _plain(value: Any) -> str | int | float | bool | None:
    if value is None or value is pd.NaT or value != value:
        return None
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    if hasattr(value, "item"):
        value = value.item()
    return value if isinstance(value, str | int | float | bool) else str(value)
