"""The comparison over tickers: scores on what all models share, wins, and tests of the mean difference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from volassets.evaluation.accuracy_tests import MCS_SIZE, equal_accuracy, loss_matrix
from volassets.evaluation.leaderboard import BASELINE
from volassets.evaluation.losses import defined, relative_qlike, scored_rows, scores, with_losses
from volassets.evaluation.verdict import SIGNIFICANT, TOO_FEW, difference_text, p_text

MEANS = ["qlike", "qlike_vs_gjr", "rmse", "mae", "r2", "coverage_90"]
ENOUGH_OF_THE_PANEL = 0.5
PANEL_COLUMNS = (
    "model", "horizon", "against", "tickers", "wins", "significant_wins", "significant_losses", "mean_difference",
    "dm_pooled", "p_pooled", "n",
)  # fmt: skip


def panel_comparison(scored: pd.DataFrame, against: str = BASELINE) -> pd.DataFrame:
    """Compare every other model with `against` on QLIKE over all tickers, each on the days that both models have.

    Parameters
    ----------
    scored : DataFrame
        Scored forecasts (`volassets.evaluation.losses`) of all tickers.
    against : str
        The model that the others are compared with.

    Returns
    -------
    DataFrame
        Rows of the table ``panel_comparisons``, one per model and horizon. ``significant_wins`` and
        ``significant_losses`` have a Diebold-Mariano p-value under 5 %. ``dm_pooled`` and ``p_pooled`` test the
        differential averaged over the tickers of each origin, because tickers share their days and counting each as
        independent would overstate the evidence; ``n`` is those origins.
    """
    losses = with_losses(scored)
    rows = []
    for horizon, of_horizon in losses.groupby("horizon", sort=True):
        groups = of_horizon.groupby("ticker", sort=False)
        matrices = {str(ticker): loss_matrix(group, "qlike") for ticker, group in groups}
        rows += [
            _compared(matrices, model, against, int(str(horizon)))
            for model in dict.fromkeys(of_horizon["model"])
            if model != against
        ]
    return defined(pd.DataFrame([row for row in rows if row], columns=list(PANEL_COLUMNS)))


def panel_verdict(scored: pd.DataFrame, against: str = BASELINE) -> list[str]:
    """Return one sentence per horizon: the first model of `pooled_scores` against `against` and the second one."""
    sentences = []
    for horizon, marked in _on_shared_tickers(scored):
        mean = _by_ticker(marked)["qlike"].groupby(level=["complete", "model"]).mean()
        ranked = mean.reset_index().sort_values(["complete", "qlike"], ascending=[False, True], kind="stable")["model"]
        best, *second = ranked.head(2)
        rivals = [name for name in dict.fromkeys((against, *second)) if name != best and name in set(ranked)]
        tests = [panel_comparison(marked[marked["model"].isin((best, rival))], rival) for rival in rivals]
        rows = [found.iloc[0] for found in tests if len(found)]
        if rows:
            parts = [_sentence(row) for row in rows] if any(row["p_pooled"] >= 0 for row in rows) else [TOO_FEW]
            sentences.append(f"Horizon {horizon}: {best + ' ' if parts != [TOO_FEW] else ''}{'; '.join(parts)}.")
    return sentences


def pooled_scores(scored: pd.DataFrame, board: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``panel_leaderboard``: means over tickers of the models' scores.

    The ``complete`` models are scored on the tickers and days that all of them share; the others, after them, on their
    own. The model with the fewest days is not complete while those shared are less than half of the days that at least
    half of the models have.

    Parameters
    ----------
    scored : DataFrame
        Scored forecasts (`volassets.evaluation.losses`) of all tickers.
    board : DataFrame
        Their leaderboards, for ``in_confidence_set``: tickers whose 90 % confidence set holds the model.
    """
    parts = []
    for horizon, marked in _on_shared_tickers(scored):
        by_ticker = _by_ticker(marked)
        p_values = board[board["horizon"] == horizon].set_index(["model", "ticker"])["mcs_p"]
        scored_on = [(model, ticker) for model, _, ticker in by_ticker.index]
        p = p_values.reindex(scored_on).to_numpy(np.float64)
        by_ticker["member"] = np.where(np.isnan(p), np.nan, p >= MCS_SIZE)
        groups = by_ticker.groupby(level=["model", "complete"], sort=False)
        members = groups["member"].sum(min_count=1)
        sums: dict[str, Any] = {
            "tickers": groups.size(),
            "n": groups["n"].sum(),
            "in_confidence_set": members,
            "horizon": horizon,
        }
        parts.append(groups[MEANS].mean().assign(**sums).reset_index())
    if not parts:
        return pd.DataFrame()
    order = {"horizon": True, "complete": False, "qlike": True}
    rows = pd.concat(parts, ignore_index=True).sort_values(list(order), ascending=list(order.values()), kind="stable")
    return defined(rows.reset_index(drop=True))


def _on_shared_tickers(scored: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield each horizon with its losses and the columns `complete` and `common`, by the rule of `pooled_scores`."""
    for horizon, rows in with_losses(scored).groupby("horizon", sort=True):
        day = rows.groupby(["ticker", "origin_date"]).ngroup()
        there = rows.assign(day=day, there=True).pivot(index="day", columns="model", values="there").notna()
        complete = list(there.sum().sort_values(ascending=False, kind="stable").index)
        enough = ENOUGH_OF_THE_PANEL * int((there.mean(axis=1) >= 0.5).sum())
        while len(complete) > 1 and there[complete].all(axis=1).sum() < enough:
            complete.pop()
        shared = day.isin(there.index[there[complete].all(axis=1)])
        yield int(str(horizon)), rows.assign(complete=rows["model"].isin(complete), common=shared)


def _by_ticker(marked: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of one horizon by model, completeness and ticker."""
    rows = {}
    baseline = marked[marked["model"] == BASELINE].set_index("origin_date")
    baselines = dict(iter(baseline.groupby("ticker")))
    keys = ["model", "complete", "ticker"]
    for key, group in scored_rows(marked).groupby(keys, sort=False):
        own = group.sort_values("origin_date")
        values = scores(own)
        relative = relative_qlike(own.set_index("origin_date"), baselines.get(own["ticker"].iloc[0], baseline[:0]))
        rows[key] = {**values, "coverage_90": values["coverage"], "qlike_vs_gjr": relative}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index=keys)


def _compared(matrices: dict[str, pd.DataFrame], model: str, against: str, horizon: int) -> dict[str, object] | None:
    differentials, relative, p_values = {}, [], []
    for ticker, matrix in matrices.items():
        both = matrix.reindex(columns=[model, against]).dropna()
        if both.empty:
            continue
        differentials[ticker] = both[model] - both[against]
        relative.append(float(both[model].mean() / both[against].mean() - 1.0))
        p_values.append(equal_accuracy(differentials[ticker].to_numpy(), horizon).p_value)
    if not differentials:
        return None
    mean = pd.DataFrame(differentials).mean(axis=1).sort_index()
    pooled = equal_accuracy(mean.to_numpy(), horizon)
    sure = [p < SIGNIFICANT for p in p_values]
    return {
        "model": model,
        "horizon": horizon,
        "against": against,
        "tickers": len(relative),
        "wins": sum(value < 0 for value in relative),
        "significant_wins": sum(value < 0 and known for value, known in zip(relative, sure, strict=True)),
        "significant_losses": sum(value > 0 and known for value, known in zip(relative, sure, strict=True)),
        "mean_difference": float(np.mean(relative)),
        "dm_pooled": pooled.statistic,
        "p_pooled": pooled.p_value,
        "n": pooled.n,
    }


def _sentence(row: pd.Series) -> str:
    if not row["p_pooled"] < SIGNIFICANT:
        return f"against {row['against']} {difference_text(row['p_pooled'], True)}"
    verb, count = ("beats", row["wins"]) if row["mean_difference"] < 0 else ("loses to", row["tickers"] - row["wins"])
    return f"{verb} {row['against']} on {count} of {row['tickers']} tickers, {p_text(row['p_pooled'])}"
