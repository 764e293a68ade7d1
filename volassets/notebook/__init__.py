"""The functions of the pipeline for a notebook: frames in, frames out, without Dagster and without a database.

`volassets` offers them under its own name: ``import volassets as va``, ``va.walk_forward(...)`` (docs/python.md).
"""
