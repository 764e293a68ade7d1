"""Training history, attention and importance of the inputs."""

from __future__ import annotations

from html import escape

from volassets.reporting import html
from volassets.reporting.charts import others as charts
from volassets.reporting.html import Section, TableColumn, with_charts
from volassets.reporting.page_data import TickerData
from volassets.reporting.palette import look_of, model_order

NETWORK_FAMILIES = ("lstm", "transformer")
SHOWN_FEATURES = 12
IMPORTANCE = {
    "feature": TableColumn("input"),
    "delta_qlike": TableColumn("rise of QLIKE", html.decimals(4)),
    "std_error": TableColumn("standard error", html.decimals(4)),
    "mark": TableColumn("± 1 standard error", draw=str),
}


def training(data: TickerData) -> Section:
    """Return the losses per epoch of each network's newest month."""
    rows, title = data.training_history, "Training history"
    if rows.empty:
        return Section("training", title, html.missing(f"No network was trained: {_chosen(data)}."))
    caption = "Loss per epoch in the newest refit month; thin lines are seeds. " + (
        "The best epoch is the one with the lowest mean validation loss."
        if rows["validation_loss"].notna().any()
        else "The number of epochs is fixed and no rows are held back, so the last epoch is the one used."
    )
    return with_charts("training", title, charts.training(rows, caption))


def attention(data: TickerData) -> Section:
    """Return the mean attention weights per lag."""
    rows, title = data.attention, "Attention"
    if rows.empty:
        return Section("attention", title, html.missing(f"No model with attention was fitted: {_chosen(data)}."))
    parts = []
    for model, own in rows.groupby("model", sort=False):
        near = own.loc[own["lag_days"] < 5, "weight"].sum()
        parts.append(
            f"{model} puts {html.whole_percent(near)} of its attention on the last five of {len(own)} sessions "
            f"(alike would be {html.whole_percent(5 / len(own))})."
        )
    caption = "Mean attention weight by session, over the refit months. It says where the network looked, not what "
    return with_charts(
        "attention", title, [html.paragraph(" ".join(parts)), *charts.attention(rows, f"{caption}mattered.")]
    )


def importance(data: TickerData) -> Section:
    """Return what permuting an input costs."""
    rows, title = data.importance, "Importance of the inputs"
    if rows.empty:
        setting = data.settings.importance
        why = ", and no such refit of a model that takes features is stored" if setting != "never" else ""
        text = f"Not measured{' yet' * bool(why)}: the setting importance is {setting}{why}."
        return Section("importance", title, html.missing(text))
    refits = int(rows["months"].max())
    caption = (
        "Rise of the mean QLIKE on validation rows, never on test days, when an input is permuted; mean over "
        f"{refits} refit{'s' if refits > 1 else ''}. Inputs that stand in for one another share their importance."
    )
    parts = [html.paragraph(caption, "note")]
    for model in model_order(rows["model"]):
        own = rows[rows["model"] == model].nlargest(SHOWN_FEATURES, "delta_qlike")
        low, high = own["delta_qlike"] - own["std_error"], own["delta_qlike"] + own["std_error"]
        span, colour = (min(float(low.min()), 0.0), float(high.max())), look_of(model).colour
        marks = [
            html.interval_mark(least, value, most, span, 0.0, colour)
            for least, value, most in zip(low, own["delta_qlike"], high, strict=True)
        ]
        parts += [f"<h3>{escape(str(model))}</h3>", html.table(own.assign(mark=marks), IMPORTANCE)]
    return Section("importance", title, "\n".join(parts))


def _chosen(data: TickerData) -> str:
    names = [model.name for model in data.settings.chosen_models.values() if model.family in NETWORK_FAMILIES]
    if not names:
        return "the models chosen have none"
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} chosen, but no fit is stored yet"
