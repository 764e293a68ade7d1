"""The pipeline, without an orchestrator: which steps there are, what is missing, and how it is computed.

`steps` declares every step once; `planner` says which cells are missing or stale; `executor` computes them.
"""
