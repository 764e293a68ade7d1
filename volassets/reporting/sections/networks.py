"""Training history, attention and importance of the inputs."""

from __future__ import annotations

from html import escape

from volassets.reporting import html
from volassets.reporting.charts import others as charts
from volassets.reporting.charts.chart import Chart
from volassets.reporting.charts.validation import validation_scatter, validation_series
from volassets.reporting.html import Section, TableColumn, with_charts
from volassets.reporting.page_data import TickerData
from volassets.reporting.palette import look_of, model_order
from volassets.reporting.validation_record import Validation, newest_validations

NETWORK_FAMILIES = ("lstm", "transformer")
SHOWN_FEATURES = 12
VALIDATION = {
    "horizon": TableColumn("sessions ahead", html.count),
    "n": TableColumn("rows", html.count),
    "rmse": TableColumn("RMSE", html.decimals(4)),
    "mae": TableColumn("MAE", html.decimals(4)),
    "r2": TableColumn("R2", html.decimals(3)),
    "qlike": TableColumn("QLIKE", html.decimals(3)),
}
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
    validations = [part for record in newest_validations(data) for part in _validation(record)]
    return with_charts("training", title, [*charts.training(rows, caption), *validations])


def _validation(record: Validation) -> list[str | Chart]:
    """Return the validation of one model's newest refit: what it is made of, its scores, two charts."""
    month = f"{record.month:%Y-%m}"
    parts: list[str | Chart] = [
        f"<h3>{escape(record.model)}: validation of the refit {month}</h3>",
        html.paragraph(f"The network: {record.made_of}."),
    ]
    if record.rows.empty:
        remedy = f"volassets run --from {month} --to {month} --models {record.model} --force"
        text = f"Its fit was stored by a release without validation scores: `{remedy}` fits it again."
        return [*parts, html.missing(text)]
    first, last = record.rows["origin_date"].min(), record.rows["origin_date"].max()
    note = (
        f"Scores on the last rows before the month, {first:%Y-%m-%d} to {last:%Y-%m-%d}. They are no test: training "
        "stops where their loss is lowest. The leaderboard has what came after the refits."
    )
    return [
        *parts,
        html.paragraph(note, "note"),
        html.table(record.scores, VALIDATION),
        validation_series(
            record, f"{record.model}: actual and predicted volatility on the validation rows, by origin."
        ),
        validation_scatter(
            record, f"{record.model}: actual over predicted volatility at the shortest horizon; on the line they agree."
        ),
    ]


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
