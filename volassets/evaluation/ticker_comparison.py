"""Everything that is said of one ticker's forecasts, as the tables that are stored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from volassets.evaluation.accuracy_tests import compare_pairs, mincer_zarnowitz
from volassets.evaluation.backtest import Rules, backtest
from volassets.evaluation.leaderboard import leaderboard
from volassets.evaluation.losses import (
    on_common_sample,
    score_table,
    scored_rows,
    volatility_regime,
    with_losses,
    with_regime,
    with_year,
)
from volassets.evaluation.value_at_risk import value_at_risk
from volassets.evaluation.verdict import backtest_verdict, leaderboard_verdict, risk_verdict

PROXY, SQUARED_RETURN = "proxy", "squared_return"


def compare_ticker(scored: pd.DataFrame, features: pd.DataFrame, rules: Rules) -> dict[str, pd.DataFrame]:
    """Return the comparison tables of one ticker by table name.

    Parameters
    ----------
    scored : DataFrame
        Scored forecasts of one ticker (`volassets.evaluation.losses`) with bounds and squared returns.
    features : DataFrame
        Its feature table: `return` and `proxy_variance` by date.
    rules : Rules
        Of the volatility-target strategies.

    Returns
    -------
    dict of str to DataFrame
        ``leaderboard``, ``scores``, ``mincer_zarnowitz``, ``model_comparisons``, ``backtests``,
        ``backtest_paths``, ``value_at_risk`` and ``verdicts``.
    """
    marked = on_common_sample(with_losses(scored))
    board = leaderboard(scored)
    pairs = compare_pairs(scored_rows(marked))
    tested = backtest(scored, features["return"], rules)
    risk = value_at_risk(scored, features["return"])
    ticker = str(scored["ticker"].iloc[0])
    return {
        "leaderboard": board,
        "scores": pd.concat(list(_slices(marked, features["proxy_variance"])), ignore_index=True),
        "mincer_zarnowitz": _regressions(marked),
        "model_comparisons": pairs,
        "backtests": tested.table.assign(ticker=ticker),
        "backtest_paths": tested.paths.assign(ticker=ticker),
        "value_at_risk": risk.assign(ticker=ticker),
        "verdicts": _verdicts(ticker, board, pairs, tested.table, risk),
    }


def on_squared_returns(marked: pd.DataFrame) -> pd.DataFrame:
    """Return `marked` scored against squared returns; its `qlike` is ln f + r^2/f, finite for a zero return."""
    error = (marked["squared_return"] - marked["variance"]) ** 2
    return marked.assign(
        realized_variance=marked["squared_return"], squared_error=error, qlike=marked["qlike_on_squared_returns"]
    )


def _slices(marked: pd.DataFrame, proxy: pd.Series) -> Iterator[pd.DataFrame]:
    regime = volatility_regime(proxy)
    for target, rows in ((PROXY, marked), (SQUARED_RETURN, on_squared_returns(marked))):
        for kind, sliced in (
            ("all", rows.assign(slice="all")),
            ("year", with_year(rows).rename(columns={"year": "slice"})),
            ("regime", with_regime(rows, regime).rename(columns={"regime": "slice"})),
        ):
            table = score_table(sliced.dropna(subset=["slice"]), by=("slice",))
            yield table.assign(slice=table["slice"].astype(str), slice_kind=kind, target=target)


def _regressions(marked: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for target, losses in ((PROXY, marked), (SQUARED_RETURN, on_squared_returns(marked))):
        for _, own in scored_rows(losses).groupby(["ticker", "model", "horizon"], sort=False):
            own = own.sort_values("origin_date")
            ticker, model, horizon = own.iloc[0][["ticker", "model", "horizon"]]
            values = mincer_zarnowitz(
                own["realized_variance"].to_numpy(np.float64), own["variance"].to_numpy(np.float64), int(horizon)
            )
            names = {"ticker": ticker, "model": model, "horizon": horizon, "target": target, "n": len(own)}
            rows.append({**names, **vars(values)})
    return pd.DataFrame(rows)


def _verdicts(
    ticker: str, board: pd.DataFrame, pairs: pd.DataFrame, backtests: pd.DataFrame, risk: pd.DataFrame
) -> pd.DataFrame:
    rows = [
        (ticker, "leaderboard", int(own["horizon"].iloc[0]), leaderboard_verdict(own, pairs))
        for _, own in board.groupby("horizon", sort=True)
    ]
    rows.append((ticker, "backtests", 1, backtest_verdict(backtests)))
    rows.append((ticker, "value_at_risk", 1, risk_verdict(risk)))
    return pd.DataFrame(rows, columns=["ticker", "topic", "horizon", "text"])
