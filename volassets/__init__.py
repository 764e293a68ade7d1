"""Walk-forward volatility forecasting as a Dagster asset graph; every number in one DuckDB file."""

# Read from here by setup.cfg, so that a checkout and an installed package say the same.
__version__ = "0.1.0"
