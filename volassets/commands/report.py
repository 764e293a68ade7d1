"""`volassets report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from volassets.settings import Settings


def write_reports(settings: Settings, tickers: Sequence[str]) -> list[Path]:
    return []
