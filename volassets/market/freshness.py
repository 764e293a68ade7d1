"""From which age on a newest bar or forecast is said to be old, and from which it is a failure."""

from __future__ import annotations

from typing import Literal

# Sessions of the ticker's calendar that have closed since: more than these.
WARN_AFTER, FAIL_AFTER = 1, 5


def severity(sessions: int) -> Literal["", "warning", "error"]:
    """Return how bad it is that something is so many sessions old; empty where it is not.

    Parameters
    ----------
    sessions : int
        Sessions that have closed since the day of the newest bar, or since the close that the forecast was made at.
    """
    if sessions > FAIL_AFTER:
        return "error"
    return "warning" if sessions > WARN_AFTER else ""
