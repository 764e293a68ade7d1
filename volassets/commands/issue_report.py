"""`volassets status --report`: what a bug report needs, and nothing private."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from volassets import __version__
from volassets.errors import VolassetsError
from volassets.settings import INTERNAL, Settings, load_settings

PACKAGES = ("numpy", "pandas", "arch", "scikit-learn", "torch", "duckdb", "pyarrow", "dagster", "exchange-calendars")
# Free text that names neither a place, an account nor what somebody trades.
HARMLESS = ("start_month", "models", "refit_schedule", "update_schedule", "backup_schedule", "timezone")
STORED = {
    "tickers": "SELECT count(DISTINCT ticker) AS n FROM raw_prices WHERE role IS NULL",
    "bars": "SELECT count(*) AS n FROM raw_prices",
    "refit months": "SELECT count(DISTINCT refit_month) AS n FROM forecasts",
}
FINDINGS = """
    SELECT severity, check_name, count(DISTINCT ticker) AS tickers, sum(n_rows) AS bars
    FROM data_quality GROUP BY ALL ORDER BY ALL
"""


def issue_report() -> str:
    """Return versions, the settings that are not the defaults, and findings, as Markdown; nothing is written."""
    settings = load_settings()
    parts = {"Versions": _versions(), "Settings beside the defaults": _settings(settings), "Stored": _stored(settings)}
    return "\n\n".join(f"### {title}\n\n" + "\n".join(f"- {line}" for line in lines) for title, lines in parts.items())


def _versions() -> Iterator[str]:
    yield f"volassets {__version__}"
    yield f"Python {platform.python_version()}, {platform.system()} {platform.release()}, {platform.machine()}"
    for name in PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            yield f"{name} not installed"


def _settings(settings: Settings) -> Iterator[str]:
    for key, field in Settings.model_fields.items():
        value = getattr(settings, key)
        if key not in INTERNAL and value != field.get_default(call_default_factory=True):
            yield f"{key} = {value!r}" if is_shown(key) else f"{key} is set ({_size(value)})"
    for name, section in settings.model_sections.items():
        yield f"[{name}] {', '.join(f'{key} = {value!r}' for key, value in section.items())}"


def is_shown(key: str) -> bool:
    """Return whether the value of a setting may be shown to everybody: numbers and choices, no free text."""
    return key in HARMLESS or "str" not in str(Settings.model_fields[key].annotation).replace("typing.Literal", "")


def _size(value: Any) -> str:
    return f"{len(value)} entries" if isinstance(value, tuple | dict) else "not shown"


def _stored(settings: Settings) -> Iterator[str]:
    from volassets.warehouse.store import open_warehouse

    try:
        store = open_warehouse(settings, patience=10)
        for name, sql in STORED.items():
            yield f"{name}: {store.query(sql)['n'].iloc[0]}"
        for row in store.query(FINDINGS).itertuples():
            yield f"{row.severity} {row.check_name}: {row.bars} bars of {row.tickers} tickers"
    except VolassetsError as error:
        place = settings.warehouse.removeprefix("parquet:") if settings.warehouse != "duckdb" else str(settings.home)
        yield str(error).replace(place, "PLACE").replace(str(settings.home), "HOME")
