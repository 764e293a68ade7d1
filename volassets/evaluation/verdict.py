"""The sentence under a table, computed from its tests."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from volassets.evaluation.accuracy_tests import MCS_SIZE, too_few

SIGNIFICANT = 0.05
TOO_FEW = "too few to tell"


def p_text(p: float) -> str:
    """Return a p-value as ``p < .001``, ``p < .01``, ``p = .048`` or ``p = .41``: more places near the threshold."""
    if p < 0.01:
        return "p < .001" if p < 0.001 else "p < .01"
    return f"p = {_decimal(p, 3 if p < 0.1 else 2)}"


def p_cell(p: float) -> str:
    """Return a p-value for a table: ``<.0001``, ``.0004``, ``.012``; never one that reads as 0."""
    if p < 0.0001:
        return "<.0001"
    return _decimal(p, 4 if p < 0.001 else 3)


def difference_text(p: float, better: bool) -> str:
    """Return ``better, p < .01``, ``worse, p = .03`` or ``no difference, p = .40`` for a test's result."""
    if not p < SIGNIFICANT:
        return f"no difference, {p_text(p)}" if p == p else TOO_FEW
    return f"{'better' if better else 'worse'}, {p_text(p)}"


def names_text(names: Iterable[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    *front, last = list(names) or ["none"]
    return f"{', '.join(front)} and {last}" if front else last


def headline_text(row: pd.Series) -> str:
    """Return how a row of ``headline_models`` was chosen."""
    if not row["n"]:
        return f"{row['model']}: no outcome of its forecasts is known yet, so no model is preferred."
    return (
        f"{row['model']} has the lowest QLIKE at one session, {_decimal(row['qlike'], 3)}, over the {row['n']:,} "
        f"outcomes known at the close of {row['origin_date']:%Y-%m-%d}."
    )


def leaderboard_verdict(board: pd.DataFrame, pairs: pd.DataFrame, baseline: str = "gjr") -> str:
    """Return the verdict on the rows of a leaderboard of one ticker and horizon, with the rows of `compare_pairs`."""
    compared = board[board["complete"]] if board["complete"].any() else board
    ranked = compared.sort_values("qlike", kind="stable")
    best = ranked.iloc[0]
    ticker, horizon = best["ticker"], int(best["horizon"])
    sentence = f"{ticker}, {sessions_text(horizon)} ({int(best['n']):,} origins): "
    if too_few(best["n"], horizon):
        return f"{sentence}{TOO_FEW}."
    sentence += f"{best['model']} has the lowest QLIKE, {_decimal(best['qlike'], 3)}"
    if best["model"] != baseline and best["dm_p"] == best["dm_p"]:
        sentence += (
            f"; against {baseline} {best['qlike_vs_gjr']:+.1%}, {difference_text(best['dm_p'], best['dm_vs_gjr'] < 0)}"
        )
    if len(ranked) > 1:
        second = ranked.iloc[1]["model"]
        p = _p_of(pairs, ticker, horizon, best["model"], second)
        if second != baseline:
            sentence += f"; against {second} {difference_text(p, True)}"
    members = compared.loc[compared["mcs_p"] >= MCS_SIZE, "model"]
    if len(members) == len(compared) > 1:
        return f"{sentence}. No model leaves the 90 % confidence set."
    if len(members):
        sentence += f". 90 % confidence set: {names_text(members)}"
    left_out = board.loc[~board["complete"], "model"]
    if len(left_out) and len(left_out) < len(board):
        sentence += f". Scored on fewer days of their own: {names_text(left_out)}"
    return f"{sentence}."


def backtest_verdict(table: pd.DataFrame) -> str:
    """Return the verdict on the rows of `backtest_table` for one ticker: Sharpe ratios against buy and hold."""
    few = "Too few days to compare Sharpe ratios with buy and hold."
    if table.empty:
        return few
    tested = table[table["strategy"] != "buy_and_hold"].dropna(subset=["sharpe_difference_low"])
    if tested.empty:
        return few
    apart = tested[(tested["sharpe_difference_low"] > 0) | (tested["sharpe_difference_high"] < 0)]
    if apart.empty:
        return (
            f"No strategy's net Sharpe ratio differs from buy and hold's: zero lies in the 90 % interval "
            f"of all {len(tested)} differences."
        )
    above = np.where(apart["sharpe_difference_low"] > 0, "above", "below")
    named = [f"{a} ({b}) {c}" for a, b, c in zip(apart["strategy"], apart["smoothing"], above, strict=True)]
    return (
        f"{len(apart)} of {len(tested)} net Sharpe ratios differ from buy and hold's at 90 % "
        f"(one in ten would by chance): {names_text(named)}."
    )


def risk_verdict(table: pd.DataFrame) -> str:
    """Return the verdict on the rows of `value_at_risk` for one ticker."""
    if table.empty:
        return "Too few days for a value at risk."
    parts = []
    for level, rows in table.dropna(subset=["kupiec_p"]).groupby("level", sort=False):
        share = rows["violations"] / rows["n"]
        passed = int((rows["kupiec_p"] >= SIGNIFICANT).sum())
        shown = f"{100 * float(str(level)):g}%"
        parts.append(
            f"value at risk {shown}: violated on {share.min():.1%} to {share.max():.1%} of the days, "
            f"Kupiec's test passed by {passed} of {len(rows)} models, "
            f"Christoffersen's by {int((rows['christoffersen_p'] >= SIGNIFICANT).sum())}"
        )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if parts else "Too few days for a value at risk."


def sessions_text(horizon: int) -> str:
    """Return ``1 session`` or ``5 sessions``."""
    return f"{horizon} session{'s' if horizon > 1 else ''} ahead"


def _p_of(pairs: pd.DataFrame, *key: object) -> float:
    if pairs.empty:
        return float("nan")
    found = pairs.set_index(["ticker", "horizon", "model_a", "model_b", "loss"])["p_value"]
    return float(found.get((*key, "qlike"), float("nan")))


def _decimal(value: float, places: int) -> str:
    return f"{value:.{places}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{places}f}"
