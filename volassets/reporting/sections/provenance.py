"""Where the numbers come from: data quality, the leakage audit, settings and versions."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import cache

import pandas as pd

from volassets.reporting import html
from volassets.reporting.html import Section, TableColumn
from volassets.reporting.page_data import Store, TickerData
from volassets.settings import Settings

PACKAGES = ("volassets", "numpy", "pandas", "arch", "scikit-learn", "torch", "duckdb", "dagster", "exchange-calendars")
# Not said: they decide how a run goes, not what comes out; and an address may hold a secret.
_UNSAID = {"tickers", "csv_dir", "jobs", "notify", "webhook"}
_AUDIT = {
    "stage": TableColumn("stage"),
    "rule": TableColumn("rule"),
    "comparisons": TableColumn("comparisons", html.count),
    "rows": TableColumn("rows", html.count),
    "changed_rows": TableColumn("rows changed", html.count),
    "passed": TableColumn("holds", lambda value: "yes" if value else "NO"),
}
_MODELS = (
    TableColumn("model", model=True),
    TableColumn("code"),
    TableColumn("fits made with"),
    TableColumn("settings", text=True),
)


def data_quality(data: TickerData) -> Section:
    """Return the bars' span, what the checks found and what the source revised."""
    bars, findings, revised = data.bars, data.table("data_quality"), data.table("price_revisions")
    if bars.empty:
        return Section("quality", "Data quality", html.missing(f"No bars of {data.ticker} are stored: run it first."))
    sources = ", ".join(sorted(data.table("raw_prices", ["source"])["source"].unique()))
    text = f"{len(bars):,} bars, {bars['date'].iloc[0]:%Y-%m-%d} to {bars['date'].iloc[-1]:%Y-%m-%d}, from {sources}. "
    changes = f"{len(revised):,} values since they were first stored" if len(revised) else "nothing since"
    text += f"The source has revised {changes}."
    body = html.paragraph(text)
    if findings.empty:
        return Section("quality", "Data quality", body + html.paragraph("No check found anything."))
    columns = {
        "severity": TableColumn("severity"),
        "check_name": TableColumn("check"),
        "message": TableColumn("finding", text=True),
        "n_rows": TableColumn("bars", html.count),
    }
    return Section("quality", "Data quality", body + html.table(findings, columns))


def audit(data: TickerData) -> Section:
    """Return what the leakage audit compared and whether every rule holds."""
    rows, title = data.audit, "Leakage audit"
    if rows.empty:
        text = f"Not audited yet: run `volassets audit --ticker {data.ticker}`, then write the report again."
        return Section("audit", title, html.missing(text))
    failed = rows[~rows["passed"].astype(bool)]
    cuts = ", ".join(f"{day:%Y-%m-%d}" for day in sorted(rows["cut_date"].unique()))
    text = (
        f"The bars after {cuts} were changed ({', '.join(sorted(rows['replacement'].unique()))}), and everything was "
        "computed again. "
    )
    text += (
        f"All {len(rows)} comparisons hold: nothing known before changed."
        if failed.empty
        else f"{len(failed)} of {len(rows)} comparisons FAIL; first: {failed['stage'].iloc[0]}: "
        f"{failed['detail'].iloc[0]}"
    )
    sums = {"rows": ("rows", "sum"), "changed_rows": ("changed_rows", "sum")}
    groups = rows.groupby(["stage", "rule"], sort=False)
    summary = groups.agg(comparisons=("passed", "size"), **sums, passed=("passed", "all"))
    return Section("audit", title, html.paragraph(text) + html.table(summary.reset_index(), _AUDIT))


def settings_and_versions(settings: Settings, fits: pd.DataFrame) -> Section:
    """Return the settings, the models' own with the `code_version` of their stored `fits`, and package versions."""
    known = {name: ", ".join(sorted(set(own["code_version"]))) for name, own in fits.groupby("model")}
    models = [
        (
            name,
            model.code_version,
            known.get(name, "not stored"),
            ", ".join(f"{key} = {_text(value)}" for key, value in vars(model).items()),
        )
        for name, model in settings.chosen_models.items()
    ]
    stored = [(name, _text(value)) for name, value in settings.model_dump(mode="json").items() if name not in _UNSAID]
    tables = (
        ("Settings", stored, (TableColumn("setting"), TableColumn("value", text=True))),
        ("Models", models, _MODELS),
        ("Versions", _versions(), (TableColumn("package"), TableColumn("version"))),
    )
    parts = []
    for title, rows, columns in tables:
        frame = pd.DataFrame(rows, columns=range(len(columns)))
        parts += [f"<h3>{title}</h3>", html.table(frame, dict(enumerate(columns)))]
    return Section("settings", "Settings and versions", "\n".join(parts))


def stored_versions(store: Store, tickers: Sequence[str]) -> pd.DataFrame:
    """Return the code versions of the stored fits by model."""
    sql = "SELECT DISTINCT model, code_version FROM fits WHERE list_contains($tickers, ticker) ORDER BY ALL"
    return store.query(sql, {"tickers": list(tickers)})


@cache
def _versions() -> list[tuple[str, str]]:
    from importlib.metadata import PackageNotFoundError, version

    def installed(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "not installed"

    return [("python", platform.python_version()), *((name, installed(name)) for name in PACKAGES)]


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in ("", None, {}) else str(value)
