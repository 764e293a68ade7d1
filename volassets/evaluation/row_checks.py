"""Checks of what the stages stored: pure functions from rows to findings, the bars' own are in `market`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from volassets.market.findings import Finding

# Fewer origins than this may agree by chance or because the month has just started.
FROZEN_ORIGINS = 5
# Independent outcomes below which a share says nothing; outcomes of horizon h overlap, so n / h counts.
COVERAGE_OUTCOMES = 50
COVERAGE_DEVIATIONS = 3.0
COVERAGE_SLACK = 0.02
# What the sentence about a table that failed says.
NOT_COMPUTED = " could not be computed ("


def features_not_finite(features: pd.DataFrame, warm_up: Mapping[str, int]) -> list[Finding]:
    """Find values of one ticker's feature table that are missing or infinite after their column's `warm_up` rows."""
    broken = []
    for name, rows in warm_up.items():
        values = features[name].to_numpy(dtype=np.float64)[rows:]
        dates = features.index[rows:][~np.isfinite(values)]
        if len(dates):
            broken.append((name, len(dates), dates[0], dates[-1]))
    if not broken:
        return []
    table = pd.DataFrame(broken, columns=["feature", "rows", "first", "last"])
    names = ", ".join(table["feature"].iloc[:3])
    message = f"{len(table)} features are missing or infinite after their warm-up, the first {names}: rebuild the table"
    return [Finding("not_finite", "error", message, table)]


def selection_empty(selected: pd.DataFrame) -> list[Finding]:
    """Find a month whose selection keeps no feature; columns feature, selected, reason."""
    if selected["selected"].any():
        return []
    message = "no feature is kept: raise correlation_threshold, or look at the reasons below"
    return [Finding("empty", "error", message, selected[["feature", "reason"]].head(20))]


def fits_not_converged(fits: pd.DataFrame) -> list[Finding]:
    """Find fits that did not converge; columns model, converged, message."""
    rows = fits.loc[~fits["converged"].astype(bool), ["model", "message"]]
    if rows.empty:
        return []
    names = ", ".join(rows["model"])
    message = f"{names} did not converge: the fits' message says what was used instead"
    return [Finding("not_converged", "warning", message, rows)]


def forecasts_broken(forecasts: pd.DataFrame) -> list[Finding]:
    """Find forecasts of one cell that are not positive and finite, or the same on every day of the month."""
    findings = []
    variance = forecasts["variance"].to_numpy(dtype=np.float64)
    bad = forecasts.loc[~(np.isfinite(variance) & (variance > 0))]
    if len(bad):
        message = f"{len(bad)} variances are not positive and finite: compute the cell again with --force"
        shown = bad[["model", "horizon", "origin_date", "variance"]]
        findings.append(Finding("not_positive", "error", message, shown))
    # A groupby costs more than the rest of the check, and every month of a range is checked.
    months: dict[tuple[str, int], list[float]] = {}
    for model, horizon, value in zip(forecasts["model"], forecasts["horizon"], variance.tolist(), strict=True):
        months.setdefault((model, horizon), []).append(value)
    frozen = []
    for (model, horizon), values in months.items():
        distinct = {value for value in values if value == value}
        if len(values) >= FROZEN_ORIGINS and len(distinct) == 1:
            frozen.append((model, horizon, len(values), distinct.pop()))
    if frozen:
        rows = pd.DataFrame(frozen, columns=["model", "horizon", "origins", "variance"])
        names = ", ".join(dict.fromkeys(rows["model"]))
        message = f"{names} forecasts one number all month, as a model that is not updated would: look at its fit"
        findings.append(Finding("frozen", "error", message, rows))
    return findings


def coverage_off(board: pd.DataFrame, level: float) -> list[Finding]:
    """Find intervals of a leaderboard whose coverage is further from the nominal `level` than chance allows."""
    outcomes = board["n"] / board["horizon"]
    allowed = COVERAGE_DEVIATIONS * np.sqrt(level * (1 - level) / outcomes.clip(lower=1)) + COVERAGE_SLACK
    off = (outcomes >= COVERAGE_OUTCOMES) & ((board["coverage_90"] - level).abs() > allowed)
    if not off.any():
        return []
    rows = board.loc[off, ["model", "horizon", "n", "coverage_90"]].assign(nominal=level)
    message = f"{int(off.sum())} intervals do not cover what they promise ({level:.0%}): do not rely on their bounds"
    return [Finding("coverage", "warning", message, rows)]


def audit_failures(results: pd.DataFrame) -> list[Finding]:
    """Find rules of the leakage audit that did not hold; rows of ``audit_results``, none if it never ran."""
    if results.empty:
        return [Finding("no_audit", "warning", "the leakage audit has not been run: `volassets audit` runs it")]
    failed = results.loc[~results["passed"].astype(bool), ["cut_date", "replacement", "stage", "rule", "detail"]]
    if failed.empty:
        return []
    message = f"{len(failed)} of {len(results)} comparisons show the future in the past: do not use these results"
    return [Finding("leak", "error", message, failed)]


def tables_not_computed(verdicts: pd.DataFrame) -> list[Finding]:
    """Find tables of a comparison that failed; rows of ``verdicts``."""
    failed = verdicts[verdicts["text"].str.contains(NOT_COMPUTED, regex=False)]
    if failed.empty:
        return []
    return [Finding("not_computed", "error", " ".join(failed["text"]), failed[["topic", "text"]])]
