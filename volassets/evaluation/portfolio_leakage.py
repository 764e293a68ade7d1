"""The leakage audit of a book: the futures of all its members are replaced, then that of one alone.

A book is made of closes and of its members' forecasts, whose own audit replaces bars. Here both are replaced after the
cut, and nothing that the book dates up to it may change: no choice of a model, no correlation, no forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from volassets.evaluation.leakage import COMPARISON_COLUMNS, CONTROL, AuditResult, compare_stage, with_known_targets
from volassets.evaluation.pool_leakage import replaced_after

BookPipeline = Callable[[Mapping[str, pd.DataFrame], pd.DataFrame], Mapping[str, pd.DataFrame]]
"""Bars by ticker and the forecasts of all of them in, one frame per stage out, each with the column ``known_at``."""

ONE_MEMBER = ", one member"
# Standard deviation of the logarithm that replaces what was forecast after the cut.
SPREAD = 0.5


def audit_book(
    bars: Mapping[str, pd.DataFrame],
    forecasts: pd.DataFrame,
    pipeline: BookPipeline,
    cut_dates: Iterable[pd.Timestamp],
    alone: str,
    *,
    replacements: Sequence[str] = ("noise", "dropped"),
) -> AuditResult:
    """Audit the steps of a book on the bars and forecasts of its members.

    Parameters
    ----------
    bars : mapping of str to DataFrame
        By ticker, index ``date``. One without a bar on a cut date is cut at its last bar before.
    forecasts : DataFrame
        Columns ticker, origin_date, variance and whatever else the pipeline reads.
    pipeline : BookPipeline
        Run once on what is given, and per cut date once with each replacement and once with noise in one member.
    cut_dates : iterable of Timestamp
    alone : str
        The member whose future is replaced while the others keep theirs.
    replacements : sequence of {"noise", "constant", "dropped"}
        What the bars of all members after the cut become. Forecasts after it are dropped with the bars, and else
        multiplied by lognormal noise.

    Raises
    ------
    InputError
        If a stage has no column ``known_at``.
    """
    base = pipeline(bars, forecasts)
    rows: list[dict[str, object]] = []
    for cut in cut_dates:
        for who, replacement in (*((tuple(bars), name) for name in replacements), ((alone,), "noise")):
            kept = {name: replaced_after(own, cut, replacement) if name in who else own for name, own in bars.items()}
            last = min(own.index[-1] for own in kept.values())
            changed = pipeline(kept, replaced_forecasts(forecasts, cut, who, replacement))
            for stage in dict.fromkeys([*base, *changed]):
                old, new = (with_known_targets(run.get(stage), last) for run in (base, changed))
                for row in compare_stage(stage, old, new, cut):
                    if replacement == "dropped" and row["rule"] == CONTROL:
                        continue
                    rule = str(row["rule"]) + (ONE_MEMBER if who == (alone,) else "")
                    rows.append({"cut_date": cut, "replacement": replacement, **row, "rule": rule})
    for row in rows:
        row["stage"] = f"portfolio {row['stage']}"
    return AuditResult(pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS)))


def replaced_forecasts(
    forecasts: pd.DataFrame, cut: pd.Timestamp, tickers: Collection[str], replacement: str
) -> pd.DataFrame:
    """Return `forecasts` with those of `tickers` after `cut` dropped, or multiplied by noise whose seed is the date."""
    later = (forecasts["origin_date"] > cut) & forecasts["ticker"].isin(list(tickers))
    if replacement == "dropped":
        return forecasts[~later].reset_index(drop=True)
    noise = np.exp(SPREAD * np.random.default_rng(cut.toordinal()).standard_normal(len(forecasts)))
    return forecasts.assign(variance=np.where(later, forecasts["variance"] * noise, forecasts["variance"]))
