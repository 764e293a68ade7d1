"""Walk-forward volatility forecasting as a Dagster asset graph; every number in one DuckDB file.

For a notebook: ``import volassets as va``, then `va.feature_table`, `va.fit`, `va.walk_forward`, `va.risk`,
`va.portfolio_risk`, `va.score`, `va.compare`, `va.plot` and `va.open` (docs/python.md).
"""

from importlib import import_module

# Read from here by setup.cfg, so that a checkout and an installed package say the same.
__version__ = "0.1.0"

# Public name to module and name there; loaded when it is first used, because the command line imports this package.
_PUBLIC = {
    "BarsWarning": ("volassets.notebook.given_bars", "BarsWarning"),
    "SkippedWarning": ("volassets.notebook.forecasts", "SkippedWarning"),
    "compare": ("volassets.notebook.scores", "compare"),
    "feature_table": ("volassets.notebook.forecasts", "feature_table"),
    "fit": ("volassets.notebook.forecasts", "fit"),
    "open": ("volassets.notebook.stored_tables", "open_home"),
    "plot": ("volassets.notebook.plot", ""),
    "portfolio_risk": ("volassets.notebook.scores", "portfolio_risk"),
    "risk": ("volassets.notebook.scores", "risk"),
    "score": ("volassets.notebook.scores", "score"),
    "walk_forward": ("volassets.notebook.forecasts", "walk_forward"),
}


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, inside = _PUBLIC[name]
    found = import_module(module)
    globals()[name] = value = getattr(found, inside) if inside else found
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
