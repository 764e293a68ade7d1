"""The one place that reads the clock: whoever needs the time gets it as a parameter, so that a test can choose it."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the time of the machine, aware, in UTC."""
    return datetime.now(UTC)
