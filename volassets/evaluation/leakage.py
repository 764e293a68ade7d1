"""The leakage audit: change the future and see whether the past notices.

All bars after a date t are replaced or dropped, the pipeline is run again, and everything it dates at or
before t must come out bit for bit the same. Two controls show that the audit can see at all:
forecasts after t must change, and exactly the h labels that reach beyond t must change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from volassets.errors import InputError

Pipeline = Callable[..., Mapping[str, pd.DataFrame]]
"""Bars in, and the other series beside them where there are some; one frame per stage out. A frame has the column
``known_at``, the date at whose close a row is known, and where its rows belong to refit months the column ``month``.
The stage ``labels`` has the columns known_at (the origin), horizon and label; the stage ``forecasts`` is the control.
"""

LABELS, FORECASTS = "labels", "forecasts"
REPLACEMENTS = ("noise", "constant", "dropped")
UNCHANGED = "unchanged up to the cut"
CONTROL = "changed after the cut"
EXACTLY_H = "exactly h labels changed"
COMPARISON_COLUMNS = (
    "cut_date", "replacement", "stage", "rule", "rows", "columns", "months", "changed_rows", "passed", "detail"
)  # fmt: skip


@dataclass(frozen=True)
class AuditResult:
    """The comparisons of an audit, rows of the table ``audit_results``: one per cut date, replacement, stage, rule."""

    comparisons: pd.DataFrame

    @property
    def passed(self) -> bool:
        """Whether every rule holds; False where nothing was compared."""
        return len(self.comparisons) > 0 and bool(self.comparisons["passed"].all())

    @property
    def failures(self) -> pd.DataFrame:
        """The rows of `comparisons` whose rule does not hold."""
        return self.comparisons[~self.comparisons["passed"].astype(bool)]

    @property
    def first_difference(self) -> str:
        """The first failure in words, empty where there is none."""
        if self.failures.empty:
            return ""
        row = self.failures.iloc[0]
        return f"{row['stage']}, {row['replacement']} after {row['cut_date']:%Y-%m-%d}: {row['detail']}"

    def text(self) -> str:
        """Return the comparisons as lines to print, then the verdict with the first difference."""
        lines = [
            f"{'ok  ' if row['passed'] else 'FAIL'} {row['cut_date']:%Y-%m-%d} {row['replacement']:<8} "
            f"{row['stage']:<12} {row['rule']:<30} rows {row['rows']:>7,}  columns {row['columns']:>3}  "
            f"months {row['months']:>3}  changed {row['changed_rows']:>6,}"
            for _, row in self.comparisons.iterrows()
        ]
        compared = int(self.comparisons.loc[self.comparisons["rule"] == UNCHANGED, "rows"].sum())
        if self.passed:
            verdict = f"Passed: {compared:,} rows dated up to the cuts are bit-identical, and both controls changed."
        elif lines:
            verdict = f"FAILED: {len(self.failures)} of {len(lines)} rules. First difference: {self.first_difference}"
        else:
            verdict = "FAILED: nothing was compared."
        return "\n".join([*lines, verdict])


def audit(
    bars: pd.DataFrame,
    pipeline: Pipeline,
    cut_dates: Iterable[pd.Timestamp],
    *,
    replacements: Sequence[str] = REPLACEMENTS,
    beside: Callable[[pd.Timestamp, str], object] | None = None,
) -> AuditResult:
    """Audit a pipeline on one ticker's bars.

    Parameters
    ----------
    bars : DataFrame
        The ticker's bars, index ``date``.
    pipeline : Pipeline
        Run once on `bars` and once per cut date and replacement.
    cut_dates : iterable of Timestamp
        Dates t with a bar, and more bars after them than the longest horizon.
    replacements : sequence of {"noise", "constant", "dropped"}
        What the bars after t become (`replace_future`).
    beside : callable, optional
        From a cut date and a replacement to the other series with their future replaced, which the pipeline is given
        as its second argument; without it the pipeline is given bars alone.

    Raises
    ------
    InputError
        If a cut date has no bar or none after it, or a stage has no column ``known_at``.
    """
    base = pipeline(bars)
    rows: list[dict[str, object]] = []
    for cut in cut_dates:
        for replacement in replacements:
            kept = replace_future(bars, cut, replacement)
            changed = pipeline(kept) if beside is None else pipeline(kept, beside(cut, replacement))
            for stage in dict.fromkeys([*base, *changed]):
                old, new = (with_known_targets(run.get(stage), kept.index[-1]) for run in (base, changed))
                found = compare_stage(stage, old, new, cut)
                if replacement == "dropped":
                    found = [row for row in found if row["rule"] != CONTROL]
                rows += [{"cut_date": cut, "replacement": replacement, "stage": stage, **row} for row in found]
            if FORECASTS not in base:
                detail = "the pipeline has no forecasts, so nothing shows that the audit can see"
                rows.append({"cut_date": cut, "replacement": replacement, **_row(FORECASTS, CONTROL, detail)})
    return AuditResult(pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS)))


def replace_future(bars: pd.DataFrame, cut: pd.Timestamp, replacement: str) -> pd.DataFrame:
    """Return `bars` with every bar after `cut` replaced, dates kept.

    Parameters
    ----------
    bars : DataFrame
    cut : Timestamp
        Last date whose bar stays.
    replacement : {"noise", "constant", "dropped"}
        ``noise``: a random walk of three per cent a day with ranges, gaps and volumes, its seed the date.
        ``constant``: the last close for every price, and the last volume. ``dropped``: no bar after `cut`, which shows
        what depends on the length of the history alone.

    Raises
    ------
    InputError
        If `cut` is not the date of a bar or is the last one, or the replacement is unknown.
    """
    index = pd.DatetimeIndex(bars.index)
    n = int(index.searchsorted(cut, side="right"))
    if n == 0 or index[n - 1] != cut or n == len(index):
        raise InputError(
            f"cut date {cut:%Y-%m-%d} must have a bar and bars after it; the bars run from {index[0]:%Y-%m-%d} to "
            f"{index[-1]:%Y-%m-%d}: choose a trading day between them."
        )
    if replacement == "dropped":
        return bars.iloc[:n]
    last = bars.iloc[n - 1]
    later = len(index) - n
    if replacement == "constant":
        flat = dict.fromkeys(("open", "high", "low", "close"), last["close"])
        future = {**flat, "adj_close": last["adj_close"], "volume": last["volume"]}
        values = pd.DataFrame(future, index=index[n:])
    elif replacement == "noise":
        values = _random_walk(last, later, seed=cut.toordinal()).set_axis(index[n:])
    else:
        raise InputError(f"unknown replacement {replacement!r}: choose from {', '.join(REPLACEMENTS)}.")
    replaced = pd.concat([bars.iloc[:n], values[list(bars.columns)].astype(np.float64)])
    return replaced.set_axis(index, axis=0)


def _random_walk(last: pd.Series, n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    gap, move = 0.01 * rng.standard_normal(n), 0.03 * rng.standard_normal(n)
    reach = np.abs(0.02 * rng.standard_normal((2, n)))
    # Kept within a factor of a hundred, so that a long future stays a price.
    close = np.log(last["close"]) + np.clip(np.cumsum(gap + move), -4.6, 4.6)
    opening = close - move
    high, low = np.maximum(opening, close) + reach[0], np.minimum(opening, close) - reach[1]
    ratio = last["adj_close"] / last["close"]
    frame = pd.DataFrame({"open": np.exp(opening), "high": np.exp(high), "low": np.exp(low), "close": np.exp(close)})
    volume = last["volume"] * np.exp(0.5 * rng.standard_normal(n))
    return frame.assign(adj_close=frame["close"] * ratio, volume=np.round(volume))


def with_known_targets(frame: pd.DataFrame | None, last: pd.Timestamp) -> pd.DataFrame | None:
    """Return `frame` without the target dates that await a bar after `last`: until then the calendar gives them."""
    if frame is None or "target_date" not in frame or "known_at" not in frame:
        return frame
    return frame.assign(target_date=frame["target_date"].mask(frame["known_at"] >= last))


def compare_stage(
    stage: str, before: pd.DataFrame | None, after: pd.DataFrame | None, cut: pd.Timestamp
) -> list[dict[str, object]]:
    """Return what a stage's rules say of two runs, rows without the cut date and the replacement."""
    if before is None or after is None:
        return [_row(stage, UNCHANGED, "the stage is there in only one of the two runs")]
    for frame in (before, after):
        if "known_at" not in frame.columns:
            raise InputError(f"stage {stage} has no column known_at: the audit cannot tell what was known when.")
    if stage == LABELS:
        return [_compare_labels(before, after, cut, int(h)) for h in sorted(before["horizon"].unique())]
    found = [_compare_past(stage, before, after, cut)]
    if stage == FORECASTS:
        found.append(_compare_future(before, after, cut))
    return found


def _compare_past(stage: str, before: pd.DataFrame, after: pd.DataFrame, cut: pd.Timestamp) -> dict[str, object]:
    old, new = (frame[frame["known_at"] <= cut].reset_index(drop=True) for frame in (before, after))
    if list(old.columns) != list(new.columns) or len(old) != len(new):
        detail = f"{len(old)} rows and {len(old.columns)} columns became {len(new)} and {len(new.columns)}"
        return _row(stage, UNCHANGED, detail, old, changed=abs(len(old) - len(new)) or len(old))
    if old.empty:
        return _row(stage, UNCHANGED, "no row is dated up to the cut, so nothing was compared", old)
    differs = differing_cells(old, new)
    changed = int(differs.any(axis=1).sum())
    return _row(stage, UNCHANGED, _first_difference(old, new, differs), old, changed=changed, passed=changed == 0)


def _compare_future(before: pd.DataFrame, after: pd.DataFrame, cut: pd.Timestamp) -> dict[str, object]:
    old, new = (frame[frame["known_at"] > cut].reset_index(drop=True) for frame in (before, after))
    if old.empty:
        return _row(FORECASTS, CONTROL, "no forecast is dated after the cut: give the pipeline a later month", old)
    alike = list(old.columns) == list(new.columns) and len(old) == len(new)
    changed = int(differing_cells(old, new).any(axis=1).sum()) if alike else len(old)
    detail = "" if changed else "no forecast changed although every later bar did: the comparison is blind"
    return _row(FORECASTS, CONTROL, detail, old, changed=changed, passed=changed > 0)


def _compare_labels(before: pd.DataFrame, after: pd.DataFrame, cut: pd.Timestamp, horizon: int) -> dict[str, object]:
    old, new = (
        frame[(frame["horizon"] == horizon) & (frame["known_at"] <= cut)].reset_index(drop=True)
        for frame in (before, after)
    )
    rule = f"{EXACTLY_H}, h={horizon}"
    if len(old) != len(new):
        return _row(LABELS, rule, f"{len(old)} labels became {len(new)}", old, changed=abs(len(old) - len(new)))
    differs = differing_cells(old[["label"]], new[["label"]])[:, 0]
    changed = int(differs.sum())
    if changed == horizon and differs[-horizon:].all():
        return _row(LABELS, rule, "", old, changed=changed, passed=True)
    where = f", the first of origin {_shown(old['known_at'].iloc[int(differs.argmax())])}" if changed else ""
    return _row(LABELS, rule, f"{changed} labels changed, not the last {horizon}{where}", old, changed=changed)


def differing_cells(before: pd.DataFrame, after: pd.DataFrame) -> np.ndarray:
    """Return where two frames of one shape differ, as a bool array; floats by their bits, NaN equal to NaN."""
    result = np.zeros(before.shape, bool)
    for i, name in enumerate(before.columns):
        old, new = before[name].to_numpy(), after[name].to_numpy()
        if old.dtype == np.float64 and new.dtype == np.float64:
            same = (old.view(np.int64) == new.view(np.int64)) | (np.isnan(old) & np.isnan(new))
        else:
            same = (old == new) | (pd.isna(before[name]).to_numpy() & pd.isna(after[name]).to_numpy())
        result[:, i] = ~np.asarray(same, bool)
    return result


def _first_difference(old: pd.DataFrame, new: pd.DataFrame, differs: np.ndarray) -> str:
    if not differs.any():
        return ""
    i = int(differs.any(axis=1).argmax())
    j = int(differs[i].argmax())
    keys = [name for name in ("month", "model", "feature", "horizon", "lag") if name in old.columns]
    names = "".join(f", {name} {_shown(old[name].iloc[i])}" for name in keys)
    return (
        f"row known at {_shown(old['known_at'].iloc[i])}{names}: column {old.columns[j]} was "
        f"{_shown(old.iloc[i, j])}, became {_shown(new.iloc[i, j])}"
    )


def _shown(value: object) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    text = repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _row(
    stage: str, rule: str, detail: str, compared: pd.DataFrame | None = None, changed: int = 0, passed: bool = False
) -> dict[str, object]:
    frame = pd.DataFrame() if compared is None else compared
    return {
        "stage": stage,
        "rule": rule,
        "rows": len(frame),
        "columns": len(frame.columns.difference(["known_at", "month"])),
        "months": int(frame["month"].nunique()) if "month" in frame else 0,
        "changed_rows": changed,
        "passed": passed,
        "detail": detail,
    }
