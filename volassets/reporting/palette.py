"""One fixed look per model, used by every plot and table.

The hue says the family and the dash the model, so that two lines which a colour-blind reader takes
for the same hue still differ. Every colour has a contrast of at least 3 to 1 with the light and
with the dark background, so one picture serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LIGHT_BACKGROUND, DARK_BACKGROUND = "#ffffff", "#15181d"

SOLID, DASHED, DOTTED = "-", (0, (5, 1.6)), (0, (1.2, 1.4))
DASHDOT, LONG = (0, (6, 1.6, 1.2, 1.6)), (0, (10, 2))
DASHDOTDOT = (0, (6, 1.6, 1.2, 1.6, 1.2, 1.6))


@dataclass(frozen=True)
class Look:
    """How a model is drawn: `colour` as #rrggbb, `dash` and `marker` as matplotlib takes them."""

    colour: str
    dash: object = SOLID
    marker: str = "o"

    @property
    def line(self) -> dict[str, Any]:
        """Colour and dash as matplotlib's `plot` takes them."""
        return {"color": self.colour, "linestyle": self.dash}


_LOOKS = {
    "naive": Look("#7d7d7d", DOTTED, "v"),
    "rolling_20": Look("#8c8174", DASHED, "s"),
    "ewma": Look("#7a7f8a", SOLID, "o"),
    "garch": Look("#3f8fc9", DASHED, "s"),
    "gjr": Look("#0072b2", SOLID, "o"),
    "egarch": Look("#3569c9", DOTTED, "v"),
    "har": Look("#4c9a5f", DASHED, "s"),
    "log_har": Look("#00906a", SOLID, "o"),
    "log_har_leverage": Look("#2f9c98", DOTTED, "v"),
    "elastic_net": Look("#6f8f2a", DASHDOT, "D"),
    "lstm": Look("#d55e00", SOLID, "o"),
    "lstm_reference": Look("#c9703f", DASHED, "s"),
    "transformer": Look("#b8609a", DASHDOT, "^"),
    "pooled_lstm": Look("#7f5fc4", DASHDOTDOT, "p"),
    "pooled_ridge": Look("#8f5fb8", DOTTED, "h"),
    "pooled_boosting": Look("#9067d4", LONG, "8"),
    "combination": Look("#a67c00", LONG, "P"),
    "buy_and_hold": Look("#8a6f8f", DASHED, "X"),
}
# For models that are registered after these, by their order.
_SPARE = (Look("#5f7fa0", SOLID, "<"), Look("#b3565f", DASHED, ">"), Look("#2d8a9e", DASHDOT, "*"))

GOOD, BAD = "#0072b2", "#d55e00"


def look_of(model: str) -> Look:
    """Return the look of `model`; a model without one of its own gets a spare that stays the same."""
    if model in _LOOKS:
        return _LOOKS[model]
    from volassets.models.registry import MODELS

    unnamed = [name for name in MODELS if name not in _LOOKS]
    position = unnamed.index(model) if model in unnamed else sum(model.encode())
    return _SPARE[position % len(_SPARE)]


def model_order(names: object) -> list[str]:
    """Return `names` once each in the registry's order, others (as buy_and_hold) after them."""
    from volassets.models.registry import MODELS

    order = {name: position for position, name in enumerate(MODELS)}
    return sorted(dict.fromkeys(names), key=lambda name: (order.get(name, len(order)), name))  # type: ignore[call-overload]
