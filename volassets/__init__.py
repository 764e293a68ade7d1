"""Walk-forward volatility forecasting as a Dagster asset graph; every number in one DuckDB file."""
