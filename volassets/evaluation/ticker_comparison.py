"""The comparison of one ticker's forecasts as the tables that are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from volassets.evaluation.accuracy_tests import compare_pairs, mincer_zarnowitz
from volassets.evaluation.backtest import Rules, backtest
from volassets.evaluation.leaderboard import leaderboard
from volassets.evaluation.losses import (
    KEYS,
    defined,
    on_common_sample,
    score_table,
    scored_rows,
    sessions_per_year,
    volatility_regime,
    with_losses,
)
from volassets.evaluation.row_checks import NOT_COMPUTED
from volassets.evaluation.verdict import backtest_verdict, leaderboard_verdict, risk_verdict

Tables = dict[str, pd.DataFrame]
Verdict = tuple[str, int, str]
"""Topic, horizon and sentence."""


def compare_ticker(scored: pd.DataFrame, features: pd.DataFrame, rules: Rules, risk: pd.DataFrame) -> Tables:
    """Return the comparison tables of one ticker by table name.

    A table that cannot be computed is empty, and a verdict of its name says why; the others are as without the fault.

    Parameters
    ----------
    scored : DataFrame
        Scored forecasts of one ticker (`volassets.evaluation.losses`) with bounds and squared returns.
    features : DataFrame
        Its feature table: `return` and `proxy_variance` by date.
    rules : Rules
        Of the volatility-target strategies.
    risk : DataFrame
        The ticker's rows of `value_at_risk`, for the sentence about them.
    """
    marked = on_common_sample(with_losses(scored))
    targets = {"proxy": marked, "squared_return": _on_squared_returns(marked)}
    proxy, returns = features["proxy_variance"], features["return"]
    makers: dict[tuple[str, ...], Callable[[], tuple[pd.DataFrame, ...]]] = {
        ("leaderboard",): lambda: (leaderboard(scored),),
        ("scores",): lambda: (pd.concat(list(_slices(targets, proxy)), ignore_index=True),),
        ("mincer_zarnowitz",): lambda: (_regressions(targets),),
        ("model_comparisons",): lambda: (compare_pairs(scored_rows(marked)),),
        ("backtests", "backtest_paths"): lambda: tuple(vars(backtest(scored, returns, rules)).values()),
    }
    tables, verdicts = Tables(value_at_risk=risk), list[Verdict]()
    for names, make in makers.items():
        try:
            tables.update(zip(names, map(defined, make()), strict=True))
        except Exception as error:
            tables.update(dict.fromkeys(names, pd.DataFrame()))
            verdicts.append(_fault(names[0], error))
    for name, say in _SAID.items():
        if name not in {topic for topic, *_ in verdicts}:
            try:
                verdicts += say(tables)
            except Exception as error:
                verdicts.append(_fault(name, error))
    del tables["value_at_risk"]
    tables["verdicts"] = pd.DataFrame(verdicts, columns=["topic", "horizon", "text"])
    for name in ANNUALISED:
        tables[name] = tables[name].assign(sessions_per_year=sessions_per_year(scored))
    return {name: table.assign(ticker=scored["ticker"].iloc[0]) for name, table in tables.items()}


def _fault(name: str, error: Exception) -> Verdict:
    why = f"{type(error).__name__}: {error}"
    return name, 1, f"{name}{NOT_COMPUTED}{why}); the other tables are complete. Report this with its bars."


def _on_squared_returns(marked: pd.DataFrame) -> pd.DataFrame:
    """Return `marked` scored against squared returns; its `qlike` is ln f + r^2/f, finite for a zero return."""
    error = (marked["squared_return"] - marked["variance"]) ** 2
    return marked.assign(
        realized_variance=marked["squared_return"], squared_error=error, qlike=marked["qlike_on_squared_returns"]
    )


def _slices(targets: Tables, proxy: pd.Series) -> Iterator[pd.DataFrame]:
    regime = volatility_regime(proxy)
    for target, rows in targets.items():
        origins = pd.DatetimeIndex(rows["origin_date"])
        for kind, names in (("all", "all"), ("year", origins.year), ("regime", regime.reindex(origins).to_numpy())):
            table = score_table(rows.assign(slice=names).dropna(subset=["slice"]), by=("slice",))
            yield table.assign(slice=table["slice"].astype(str), slice_kind=kind, target=target)


def _regressions(targets: Tables) -> pd.DataFrame:
    rows = []
    for target, losses in targets.items():
        for key, own in scored_rows(losses).groupby(list(KEYS), sort=False):
            own = own.sort_values("origin_date")
            y, f = (own[name].to_numpy(np.float64) for name in ("realized_variance", "variance"))
            regression = mincer_zarnowitz(y, f, int(own["horizon"].iloc[0]), sessions_per_year(own))
            rows.append({**dict(zip(KEYS, key, strict=True)), "target": target, **vars(regression)})
    return pd.DataFrame(rows)


def _leaderboard_verdicts(tables: Tables) -> list[Verdict]:
    pairs = tables["model_comparisons"]
    groups = tables["leaderboard"].groupby("horizon", sort=True)
    return [("leaderboard", int(own["horizon"].iloc[0]), leaderboard_verdict(own, pairs)) for _, own in groups]


ANNUALISED = ("leaderboard", "scores", "mincer_zarnowitz", "backtests")
_SAID: dict[str, Callable[[Tables], list[Verdict]]] = {
    "leaderboard": _leaderboard_verdicts,
    "backtests": lambda tables: [("backtests", 1, backtest_verdict(tables["backtests"]))],
    "value_at_risk": lambda tables: [("value_at_risk", 1, risk_verdict(tables["value_at_risk"]))],
}
