"""The assets, one file per stage, in pipeline order: prices, features, selection, models, comparison."""
