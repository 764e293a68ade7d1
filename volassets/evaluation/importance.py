"""Permutation importance: how much worse a network forecasts when one input is shuffled.

Source: Breiman (2001), Fisher, Rudin and Dominici (2019), with QLIKE as the loss.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.models.protocol import Fit, Model, Window

ROWS = 252
REPEATS = 5


def feature_importance(
    model: Model, fit: Fit, window: Window, repeats: int = REPEATS, rows: int = ROWS
) -> pd.DataFrame:
    """Shuffle every input of a fitted network in turn over the last realised rows before the cut-off.

    Rows that a network without validation rows was trained on show what it uses, not what generalises.

    Parameters
    ----------
    model : Model
        One with inputs that can be shuffled (`Model.has_importance`).
    fit, window : Fit, Window
        Its fit and what it was made from.
    repeats : int
        Shuffles per input, at least 2; every input sees the same ones.
    rows : int
        Last origins with a realised label; at most the fit's validation rows where it has any.

    Returns
    -------
    DataFrame
        Columns feature, delta_qlike (mean rise of the QLIKE of the shortest horizon) and std_error of that mean, the
        largest rise first. A channel is ``sequence:<name>``, shuffled with all its days, a value at the origin
        ``static:<name>``.

    Raises
    ------
    InputError
        If the model is no network, or fewer than 2 repeats or 10 rows are there.
    """
    if not model.has_importance:
        raise InputError(f"model {fit.model!r} has no inputs to shuffle: give the fit of a network.")
    horizon = min(fit.horizons)
    target = window.target(horizon)
    span = min(rows, int(fit.parameters.get("n_validation", rows)))
    recent = pd.DatetimeIndex(window.features.index[-span - horizon :])
    usable = model.forecast(fit, window.features, recent)[horizon]
    origins = usable.index[usable.notna() & target.reindex(usable.index).gt(0)]
    if repeats < 2 or len(origins) < 10:
        raise InputError(
            f"importance needs 2 repeats and 10 realised rows, {repeats} and {len(origins)} are there: raise them."
        )
    probe = model.probe(fit, window.features, pd.DatetimeIndex(origins))
    log_target = np.log(target.loc[origins].to_numpy(np.float64))
    column = fit.horizons.index(horizon)

    def qlike(log_variance: np.ndarray) -> float:
        error = log_target - log_variance[column]
        return float(np.mean(np.exp(error) - error - 1))

    base = qlike(probe.forecast())
    generator = np.random.default_rng(window.seed(f"{fit.model} importance"))
    orders = [generator.permutation(len(origins)) for _ in range(repeats)]
    lines = []
    for name in probe.places:
        rises = np.array([qlike(probe.forecast(name, order)) - base for order in orders])
        lines.append((name, rises.mean(), rises.std(ddof=1) / np.sqrt(repeats)))
    frame = pd.DataFrame(lines, columns=["feature", "delta_qlike", "std_error"])
    return frame.sort_values("delta_qlike", ascending=False, kind="stable", ignore_index=True)
