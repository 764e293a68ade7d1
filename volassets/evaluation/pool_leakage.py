"""The leakage audit of a pool: the futures of all its tickers are replaced together, then that of one alone.

Together, nothing dated up to the cut may change, as in the audit of one ticker. Alone, nothing of the others may change
at all in the month, also after the cut: their inputs are their own, and the fit ended at the cut-off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from volassets.evaluation.leakage import (
    COMPARISON_COLUMNS,
    CONTROL,
    REPLACEMENTS,
    AuditResult,
    compare_stage,
    replace_future,
    with_known_targets,
)

PoolPipeline = Callable[[Mapping[str, pd.DataFrame]], Mapping[str, pd.DataFrame]]
"""Bars by ticker in, one frame per stage out, each with the columns ``ticker`` and ``known_at``."""

OTHERS = "others unchanged all month"


def audit_pool(
    bars: Mapping[str, pd.DataFrame],
    pipeline: PoolPipeline,
    cut_dates: Iterable[pd.Timestamp],
    alone: str,
    *,
    replacements: Sequence[str] = REPLACEMENTS,
) -> AuditResult:
    """Audit a pipeline on the bars of several tickers.

    Parameters
    ----------
    bars : mapping of str to DataFrame
        By ticker, index ``date``.
    pipeline : PoolPipeline
        Of one refit month. Run once on `bars`, and per cut date once with each replacement and once with noise alone.
    cut_dates : iterable of Timestamp
        Not before the last bar that the month's fit may use. A ticker without a bar on one is cut at its last bar
        before; it needs one after.
    alone : str
        The ticker whose future is replaced while the others keep theirs.

    Raises
    ------
    InputError
        If a ticker has no bar before a cut date or none after it, or a stage has no column ``known_at``.
    """
    base = pipeline(bars)
    rows: list[dict[str, object]] = []
    for cut in cut_dates:
        for replacement in replacements:
            kept = {ticker: replaced_after(table, cut, replacement) for ticker, table in bars.items()}
            last = min(table.index[-1] for table in kept.values())
            changed = pipeline(kept)
            for stage in dict.fromkeys([*base, *changed]):
                old, new = (with_known_targets(run.get(stage), last) for run in (base, changed))
                found = compare_stage(stage, old, new, cut)
                found = [row for row in found if replacement != "dropped" or row["rule"] != CONTROL]
                rows += [{"cut_date": cut, "replacement": replacement, **row} for row in found]
        changed = pipeline({**bars, alone: replaced_after(bars[alone], cut, "noise")})
        for stage, before in base.items():
            old, new = (frame[frame["ticker"] != alone] for frame in (before, changed[stage]))
            for row in compare_stage(stage, old, new, pd.Timestamp.max)[:1]:
                rows.append({"cut_date": cut, "replacement": "noise", **row, "rule": OTHERS})
    for row in rows:
        row["stage"] = f"pooled {row['stage']}"
    return AuditResult(pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS)))


def replaced_after(bars: pd.DataFrame, cut: pd.Timestamp, replacement: str) -> pd.DataFrame:
    """Return `bars` with everything after `cut` replaced; the cut need not be a bar."""
    before = bars.index[bars.index <= cut]
    return replace_future(bars, before[-1] if len(before) else cut, replacement)
