"""The comparison over tickers: how many a model wins on, and with what probability."""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.evaluation.accuracy_tests import FEWEST_DAYS, diebold_mariano, loss_matrix
from volassets.evaluation.leaderboard import BASELINE
from volassets.evaluation.losses import with_losses
from volassets.evaluation.verdict import SIGNIFICANT, difference_text, p_text

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
    for horizon in sorted(losses["horizon"].unique().tolist()):
        of_horizon = losses[losses["horizon"] == horizon]
        matrices = {
            str(ticker): loss_matrix(group, "qlike") for ticker, group in of_horizon.groupby("ticker", sort=False)
        }
        rows += [
            _compared(matrices, model, against, horizon)
            for model in dict.fromkeys(of_horizon["model"])
            if model != against
        ]
    return pd.DataFrame([row for row in rows if row], columns=list(PANEL_COLUMNS))


def panel_verdict(scored: pd.DataFrame, against: str = BASELINE) -> list[str]:
    """Return one sentence per horizon: the model with the lowest mean QLIKE against `against` and the runner-up."""
    sentences = []
    losses = with_losses(scored)
    for horizon, rows in losses.groupby("horizon", sort=True):
        best, *second = _leaders(rows)
        rivals = [name for name in dict.fromkeys((against, *second)) if name != best and name in set(rows["model"])]
        tests = [panel_comparison(rows[rows["model"].isin((best, rival))], rival) for rival in rivals]
        parts = [_sentence(found.iloc[0]) for found in tests if len(found)]
        if parts:
            sentences.append(f"Horizon {horizon}: {best} {'; '.join(parts)}.")
    return sentences


def pooled_scores(board: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``panel_leaderboard``: plain means over tickers of the leaderboards in `board`."""
    means = ["qlike", "qlike_vs_gjr", "rmse", "mae", "r2", "coverage_90"]
    groups = board.groupby(["model", "horizon"], sort=False)
    pooled = groups[means].mean()
    pooled.insert(0, "tickers", groups["ticker"].nunique())
    pooled.insert(1, "n", groups["n"].sum())
    pooled["in_confidence_set"] = groups["mcs_p"].agg(lambda p: int((p >= 0.10).sum()))
    return pooled.reset_index().sort_values(["horizon", "qlike"], kind="stable", ignore_index=True)


def _compared(matrices: dict[str, pd.DataFrame], model: str, against: str, horizon: int) -> dict[str, object] | None:
    differentials, relative, p_values = {}, [], []
    for ticker, matrix in matrices.items():
        both = matrix.reindex(columns=[model, against]).dropna()
        if both.empty:
            continue
        differentials[ticker] = both[model] - both[against]
        relative.append(float(both[model].mean() / both[against].mean() - 1.0))
        p_values.append(diebold_mariano(differentials[ticker].to_numpy(), horizon).p_value)
    if not differentials:
        return None
    mean = pd.DataFrame(differentials).mean(axis=1).sort_index()
    pooled = diebold_mariano(mean.to_numpy(), horizon)
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


def _leaders(rows: pd.DataFrame) -> list[str]:
    """Return the two models with the lowest mean of the tickers' mean QLIKE, on the days that all models share."""
    count = rows["model"].nunique()
    shared = rows.groupby(["ticker", "origin_date"])["model"].transform("nunique") == count
    used = rows[shared] if int(shared.sum()) >= FEWEST_DAYS * count else rows
    mean = used.groupby(["ticker", "model"])["qlike"].mean().groupby("model").mean().sort_values(kind="stable")
    return list(mean.index[:2])


def _sentence(row: pd.Series) -> str:
    if not row["p_pooled"] < SIGNIFICANT:
        return f"against {row['against']} {difference_text(row['p_pooled'], True)}"
    verb, count = ("beats", row["wins"]) if row["mean_difference"] < 0 else ("loses to", row["tickers"] - row["wins"])
    return f"{verb} {row['against']} on {count} of {row['tickers']} tickers, {p_text(row['p_pooled'])}"
