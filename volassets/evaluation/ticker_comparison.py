"""The comparison of one ticker's forecasts as the tables that are stored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from volassets.evaluation.accuracy_tests import compare_pairs, mincer_zarnowitz
from volassets.evaluation.backtest import Rules, backtest
from volassets.evaluation.leaderboard import leaderboard
from volassets.evaluation.losses import (
    KEYS,
    on_common_sample,
    score_table,
    scored_rows,
    volatility_regime,
    with_losses,
)
from volassets.evaluation.value_at_risk import value_at_risk
from volassets.evaluation.verdict import backtest_verdict, leaderboard_verdict, risk_verdict


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
    """
    marked = on_common_sample(with_losses(scored))
    targets = {"proxy": marked, "squared_return": _on_squared_returns(marked)}
    board = leaderboard(scored)
    pairs = compare_pairs(scored_rows(marked))
    tested = backtest(scored, features["return"], rules)
    risk = value_at_risk(scored, features["return"])
    ticker = str(scored["ticker"].iloc[0])
    return {
        "leaderboard": board,
        "scores": pd.concat(list(_slices(targets, features["proxy_variance"])), ignore_index=True),
        "mincer_zarnowitz": _regressions(targets),
        "model_comparisons": pairs,
        "backtests": tested.table.assign(ticker=ticker),
        "backtest_paths": tested.paths.assign(ticker=ticker),
        "value_at_risk": risk.assign(ticker=ticker),
        "verdicts": _verdicts(ticker, board, pairs, tested.table, risk),
    }


def _on_squared_returns(marked: pd.DataFrame) -> pd.DataFrame:
    """Return `marked` scored against squared returns; its `qlike` is ln f + r^2/f, finite for a zero return."""
    error = (marked["squared_return"] - marked["variance"]) ** 2
    return marked.assign(
        realized_variance=marked["squared_return"], squared_error=error, qlike=marked["qlike_on_squared_returns"]
    )


def _slices(targets: dict[str, pd.DataFrame], proxy: pd.Series) -> Iterator[pd.DataFrame]:
    regime = volatility_regime(proxy)
    for target, rows in targets.items():
        origins = pd.DatetimeIndex(rows["origin_date"])
        for kind, names in (("all", "all"), ("year", origins.year), ("regime", regime.reindex(origins).to_numpy())):
            table = score_table(rows.assign(slice=names).dropna(subset=["slice"]), by=("slice",))
            yield table.assign(slice=table["slice"].astype(str), slice_kind=kind, target=target)


def _regressions(targets: dict[str, pd.DataFrame]) -> pd.DataFrame:
    rows = []
    for target, losses in targets.items():
        for key, own in scored_rows(losses).groupby(list(KEYS), sort=False):
            own = own.sort_values("origin_date")
            y, f = (own[name].to_numpy(np.float64) for name in ("realized_variance", "variance"))
            regression = mincer_zarnowitz(y, f, int(own["horizon"].iloc[0]))
            rows.append({**dict(zip(KEYS, key, strict=True)), "target": target, **vars(regression)})
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
