"""Whether the variance that a source has measured itself can be the target: complete, and daily variance in decimal."""

from __future__ import annotations

import numpy as np

from volassets.market.bars import REALIZED
from volassets.market.findings import Found, History

# Daily squared returns over realized variance, summed: 1 but for noise and microstructure.
RATIO_BOUNDS = (0.2, 5.0)
# The daily variance in decimal that each wrong reading of a number v stands for.
_MISTAKES = {
    "annualised volatility": lambda v, sessions: v**2 / sessions,
    "annualised volatility in percent": lambda v, sessions: (v / 100) ** 2 / sessions,
    "annualised variance": lambda v, sessions: v / sessions,
    "daily volatility": lambda v, sessions: v**2,
    "daily volatility in percent": lambda v, sessions: (v / 100) ** 2,
    "daily variance in percent squared": lambda v, sessions: v / 1e4,
}


def missing_realized_variance(history: History) -> Found:
    """Find days without a positive realized variance, where the proxy is ``realized``."""
    if history.proxy != "realized":
        return []
    otherwise = 'or set proxy = "gk_overnight", which needs none.'
    if REALIZED not in history.bars:
        every_day = np.ones(len(history.bars), dtype=bool)
        message = f'proxy = "realized" needs the column {REALIZED}, and the bars have none. Add it, {otherwise}'
        return history.found(every_day, message)
    values = history.bars[REALIZED].to_numpy()
    message = f"{REALIZED} is missing, zero or negative on {{dates}}. Complete it, leave these rows out, {otherwise}"
    wrong = ~(np.isfinite(values) & (values > 0))
    # No proxy has a first row: it has no overnight return.
    wrong[0] = False
    return history.found(wrong, message)


def wrong_unit(history: History) -> Found:
    """Find realized variance in another unit than daily variance, by the squared returns of the same days."""
    if REALIZED not in history.bars:
        return []
    adjusted = np.log(history.bars["adj_close"].to_numpy())
    returns, values = np.diff(adjusted), history.bars[REALIZED].to_numpy()[1:]
    known = np.isfinite(values) & (values > 0)
    squared, values = float((returns[known] ** 2).sum()), values[known]
    if not len(values) or squared == 0 or _inside(squared / values.sum()):
        return []
    sessions = history.calendar.sessions_per_year
    likely = [name for name, daily in _MISTAKES.items() if 0.5 <= squared / float(daily(values, sessions).sum()) <= 2]
    guess = f"It looks like {' or '.join(likely)}. " if likely else ""
    setting = 'Set realized_unit = "annualised_volatility"' if likely[:1] == ["annualised volatility"] else "Convert it"
    message = (
        f"squared returns are {squared / values.sum():.3g} times {REALIZED}, which must be {RATIO_BOUNDS[0]} to "
        f"{RATIO_BOUNDS[1]:g}: it has to be daily variance in decimal, .0001 for 1 % a day. {guess}{setting}."
    )
    return history.found(history.bars[REALIZED].notna(), message)


def _inside(ratio: float) -> bool:
    return RATIO_BOUNDS[0] <= ratio <= RATIO_BOUNDS[1]
