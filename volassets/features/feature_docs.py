"""The page docs/features.md, generated from the declarations."""

from __future__ import annotations

from volassets.features.catalogue import DEFAULT_LAGS, catalogue, longest_warm_up, outcomes
from volassets.features.feature import CLOSE, Feature

INTRODUCTION = """# Features

Generated from the declarations in `volassets/features` by `python -m volassets.features.feature_docs`; a test keeps
both equal.

The table `realized_vol_features` has one row per ticker and session and {count} feature columns, and beside them the
columns that targets and scores are made of. Row t uses {close}; the calendar columns
use the exchange calendar, which is known in advance. No value changes when later bars arrive.

- O, H, L, C, V: open, high, low, close and volume of the day. A: close scaled to total return. r: log return of A.
- Prices enter as returns, ratios and ranges of one day, so a later split or dividend changes nothing. The two levels of
  the reference recipe, `volume` and `vwap`, are rescaled as a whole by a later split, which their scaler takes out.
- A column is empty for the rows of its warm-up and finite from then on; after {warm_up} rows all are there. The lagged
  returns follow the setting `lags`; shown are the defaults.
- The order is the order of selection: of two features correlated above `correlation_threshold`, the earlier is kept.
- Days without a range, a move or volume have the value that the formula names. Variances are raised to 2 % of their
  66-row median of days that moved (and to 1e-10) before a logarithm is taken.
"""


def markdown() -> str:
    """Return the page: one table per group, in selection order, then the outcomes."""
    features = catalogue(DEFAULT_LAGS)
    text = INTRODUCTION.format(count=len(features), close=CLOSE, warm_up=longest_warm_up())
    groups: dict[str, list[Feature]] = {}
    for feature in (*features, *outcomes()):
        groups.setdefault(feature.group, []).append(feature)
    return text + "".join(_section(group, members) for group, members in groups.items())


def _section(group: str, members: list[Feature]) -> str:
    rows = "".join(
        f"| `{feature.name}` | {_cell(feature.formula)} | {feature.unit} | {feature.rows} | {feature.warm_up} "
        f"| {feature.source} |\n"
        for feature in members
    )
    timings = dict.fromkeys(feature.timing for feature in members)
    timing = "".join(f"Timing of {_names(members, text)}: {text}.\n\n" for text in timings if text != CLOSE)
    head = "| column | formula | unit | window | warm-up | source |\n|---|---|---|---|---|---|\n"
    return f"\n## {group}\n\n{timing}{head}{rows}"


def _names(members: list[Feature], timing: str) -> str:
    return ", ".join(f"`{feature.name}`" for feature in members if feature.timing == timing)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")
