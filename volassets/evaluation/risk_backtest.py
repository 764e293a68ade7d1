"""The record of value at risk and expected shortfall: every model, horizon, level and tail of one ticker, tested."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from volassets.evaluation.accuracy_tests import equal_accuracy
from volassets.evaluation.risk_tests import (
    TRAFFIC_LIGHT_SESSIONS,
    UNTESTED,
    christoffersen,
    conditional_coverage,
    dynamic_quantile,
    fz_loss,
    kupiec,
    quantile_loss,
    shortfall_test,
    traffic_light,
)

BASELINE = "gjr"
TRAFFIC_LIGHT_LEVEL = 0.01
KEYS = ("model", "horizon", "level", "tail")


def risk_backtests(risk: pd.DataFrame, baseline: str = BASELINE) -> pd.DataFrame:
    """Test the value at risk and expected shortfall of one ticker.

    Parameters
    ----------
    risk : DataFrame
        Columns model, horizon, level, tail, origin_date, value_at_risk, expected_shortfall and `outcome`, the log
        return over the horizon; a row without outcome or value at risk is not counted.
    baseline : str
        Model that FZ0 is compared with.

    Returns
    -------
    DataFrame
        One row per `KEYS`. With fewer than 250 origins the tests are NaN. A horizon h of several sessions is tested on
        every h-th origin, whose sessions do not overlap; counts, rates and mean losses are of all origins.
    """
    usable = risk.dropna(subset=["outcome", "value_at_risk"]).sort_values("origin_date", kind="stable")
    groups = dict(iter(usable.groupby(list(KEYS), sort=False)))
    losses = {key: _fz_losses(own, key) for key, own in groups.items()}
    rows = []
    for key in dict.fromkeys(risk[list(KEYS)].itertuples(index=False, name=None)):
        own = groups.get(key, usable.iloc[:0])
        named = dict(zip(KEYS, key, strict=True))
        tested = _tested(own, named["horizon"], named["level"], named["tail"])
        against = losses.get((baseline, *key[1:]))
        compared = _compared(losses.get(key), against, int(named["horizon"]))
        rows.append({**named, **tested, **compared})
    return pd.DataFrame(rows)


def _lower(own: pd.DataFrame, tail: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return outcome, value at risk and expected shortfall as those of a lower tail."""
    sign = 1.0 if tail == "lower" else -1.0
    names = ("outcome", "value_at_risk", "expected_shortfall")
    outcome, limit, shortfall = (sign * own[name].to_numpy(np.float64) for name in names)
    return outcome, limit, shortfall


def _fz_losses(own: pd.DataFrame, key: tuple) -> pd.Series:
    _, _, level, tail = key
    return pd.Series(fz_loss(*_lower(own, tail), level), index=pd.DatetimeIndex(own["origin_date"]))


def _tested(own: pd.DataFrame, horizon: int, level: float, tail: str) -> dict[str, object]:
    outcome, limit, shortfall = _lower(own, tail)
    hits, n = outcome < limit, len(own)
    apart = slice(None, None, int(horizon))
    enough = n >= TRAFFIC_LIGHT_SESSIONS
    unconditional = kupiec(int(hits[apart].sum()), len(hits[apart]), level) if enough else UNTESTED
    independence = christoffersen(hits[apart]) if enough else UNTESTED
    joint = conditional_coverage(unconditional, independence)
    dynamic = dynamic_quantile(hits[apart], limit[apart], level) if enough else UNTESTED
    beyond = shortfall_test(outcome[apart], limit[apart], shortfall[apart]) if enough else UNTESTED
    lit = horizon == 1 and level == TRAFFIC_LIGHT_LEVEL
    return {
        "n": n,
        "violations": int(hits.sum()),
        "violation_rate": float(hits.mean()) if n else float("nan"),
        "kupiec_p": unconditional.p_value,
        "christoffersen_p": independence.p_value,
        "conditional_coverage_p": joint.p_value,
        "dynamic_quantile_p": dynamic.p_value,
        "es_test": beyond.statistic,
        "es_p": beyond.p_value,
        "quantile_score": float(quantile_loss(outcome, limit, level).mean()) if n else float("nan"),
        "traffic_light": (traffic_light(hits) or None) if lit else None,
    }


def _compared(own: pd.Series | None, against: pd.Series | None, horizon: int) -> Mapping[str, float]:
    mean = float(own.mean()) if own is not None and own.notna().any() else float("nan")
    if own is None or against is None or own is against:
        return {"fz_loss": mean, "dm_fz": float("nan"), "dm_fz_p": float("nan")}
    difference = (own - against).dropna().to_numpy()
    if len(difference) < TRAFFIC_LIGHT_SESSIONS:
        return {"fz_loss": mean, "dm_fz": float("nan"), "dm_fz_p": float("nan")}
    test = equal_accuracy(difference, horizon)
    return {"fz_loss": mean, "dm_fz": test.statistic, "dm_fz_p": test.p_value}
