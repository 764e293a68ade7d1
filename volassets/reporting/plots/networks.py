"""Networks: losses per epoch, attention, importance of their inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from volassets.reporting.figures import INK, hide_spare, legend_below, new_figure, title
from volassets.reporting.palette import look_of, model_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_FEATURES = 12


def training_history(rows: pd.DataFrame) -> Figure:
    """Draw the loss per epoch of each network's seeds, the mean over them, and the best epoch.

    Parameters
    ----------
    rows : DataFrame
        model, seed, epoch, train_loss, validation_loss; one refit month per model.
    """
    models = model_order(rows["model"])
    figure, axes = new_figure(2.9, 1, len(models), squeeze=False)
    for axis, model in zip(axes.flat, models, strict=True):
        own = rows[rows["model"] == model]
        _draw_losses(axis, own, look_of(model).colour)
        title(axis, f"{model}, {pd.Timestamp(own['refit_month'].iloc[0]):%Y-%m}")
    axes.flat[0].set_ylabel("loss")
    legend_below(figure, axes.flat[0])
    return figure


def _draw_losses(axis: Any, own: pd.DataFrame, colour: str) -> None:
    for _, seed in own.groupby("seed"):
        axis.plot(seed["epoch"], seed["train_loss"], color=colour, linewidth=0.6, alpha=0.45)
    means = own.groupby("epoch")[["train_loss", "validation_loss"]].mean()
    axis.plot(means.index, means["train_loss"], color=colour, linewidth=1.8, label="training, mean of seeds")
    validated = means["validation_loss"].dropna()
    if len(validated):
        axis.plot(validated.index, validated, color=INK, linewidth=1.4, linestyle="--", label="validation, mean")
    best = best_epoch(own)
    axis.axvline(best, color=INK, linewidth=0.8, linestyle=":")
    text, side = f"{'best' if len(validated) else 'last'} epoch {best}", "right" if best > means.index[0] else "left"
    place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "xytext": (-4, -9)}
    axis.annotate(text, (best, 1.0), **place, ha=side, fontsize=8, color=INK)
    axis.set_xlabel("epoch")
    axis.xaxis.get_major_locator().set_params(integer=True)


def best_epoch(rows: pd.DataFrame) -> int:
    """Return the epoch with the lowest mean validation loss over seeds; the last where none is validated."""
    means = rows.groupby("epoch")["validation_loss"].mean().dropna()
    return int(means.index.to_numpy()[means.argmin()]) if len(means) else int(rows["epoch"].max())


def importance(rows: pd.DataFrame) -> Figure:
    """Draw the inputs whose permutation costs most, with one standard error to each side."""
    models = model_order(rows["model"])
    columns = min(2, len(models))
    lines = -(-len(models) // columns)
    counts = rows.groupby("model").size().clip(upper=SHOWN_FEATURES)
    figure, axes = new_figure((0.9 + 0.21 * int(counts.max())) * lines, lines, columns, squeeze=False)
    for axis, model in zip(axes.flat, models, strict=False):
        own = rows[rows["model"] == model].nlargest(SHOWN_FEATURES, "delta_qlike")
        places, rise, error = np.arange(len(own)), own["delta_qlike"], own["std_error"]
        axis.barh(places, rise, color=look_of(model).colour, alpha=0.8, height=0.66)
        axis.hlines(places, rise - error, rise + error, color=INK, linewidth=1.2)
        axis.set_yticks(places, own["feature"])
        axis.set_ylim(len(own) - 0.4, -0.6)
        axis.axvline(0, color=INK, linewidth=0.7)
        axis.set_xlabel("rise of QLIKE, ± 1 standard error")
        title(axis, model)
    hide_spare(axes, len(models))
    return figure
