"""Gradient boosting over all tickers: scikit-learn's histogram trees on the inputs and label of the pooled ridge.

Trees are kept as plain arrays, so that a checkpoint needs no pickle and a forecast no scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.models.pool import PooledRegression


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PooledBoosting(PooledRegression):
    """Settings of the pooled trees (Friedman 2001; Ke et al. 2017)."""

    name: ClassVar[str] = "pooled_boosting"

    trees: Annotated[int, Field(ge=1, le=5000, description="Trees per horizon.")] = 150
    leaves: Annotated[int, Field(ge=2, le=64, description="Most leaves of a tree.")] = 8
    learning_rate: Annotated[float, Field(gt=0, le=1, description="Share of a tree's step that is taken.")] = 0.05
    leaf_rows: Annotated[int, Field(ge=1, description="Fewest rows of a leaf.")] = 200
    maximum_rows: Annotated[
        int, Field(ge=1000, description="Rows of the pool, above it sampled evenly over its tickers.")
    ] = 200_000

    def estimate(
        self, inputs: np.ndarray, label: np.ndarray, days: np.ndarray, ends: np.ndarray, seed: int
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """See `PooledRegression.estimate`."""
        from sklearn.ensemble import HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits

        regressor = HistGradientBoostingRegressor(
            max_iter=self.trees,
            max_leaf_nodes=self.leaves,
            learning_rate=self.learning_rate,
            min_samples_leaf=self.leaf_rows,
            early_stopping=False,
            random_state=seed % 2**32,
        )
        # Sums over threads would round differently for another number of them; processes are the parallelism.
        with threadpool_limits(1):
            regressor.fit(inputs, label)
        return {"baseline": float(np.squeeze(regressor._baseline_prediction))}, self._arrays(regressor)

    def _arrays(self, regressor: Any) -> dict[str, np.ndarray]:
        """Return the nodes of all trees, shape (trees, nodes); a leaf is its own child."""
        shape = (len(regressor._predictors), 2 * self.leaves - 1)
        child = np.tile(np.arange(shape[1], dtype=np.int32), (shape[0], 1))
        arrays: dict[str, np.ndarray] = {"feature": np.zeros(shape, np.int32), "left": child, "right": child.copy()}
        arrays |= {"threshold": np.zeros(shape), "value": np.zeros(shape)}
        for tree, (predictor,) in enumerate(regressor._predictors):
            nodes = predictor.nodes
            inner = np.flatnonzero(nodes["is_leaf"] == 0)
            arrays["value"][tree, : len(nodes)] = nodes["value"]
            for name, column in (
                ("feature", "feature_idx"), ("left", "left"), ("right", "right"), ("threshold", "num_threshold")
            ):  # fmt: skip
                arrays[name][tree, inner] = nodes[column][inner]
        return arrays

    def predict(self, equation: dict[str, Any], tensors: Mapping[str, np.ndarray], inputs: np.ndarray) -> np.ndarray:
        """See `PooledRegression.predict`."""
        trees, columns = np.arange(len(tensors["value"]))[:, None], np.arange(len(inputs))
        place = np.zeros((len(trees), len(inputs)), np.int32)
        for _ in range(self.leaves - 1):
            below = inputs[columns, tensors["feature"][trees, place]] <= tensors["threshold"][trees, place]
            place = np.where(below, tensors["left"][trees, place], tensors["right"][trees, place])
        steps = np.vstack([np.full(len(inputs), equation["baseline"]), tensors["value"][trees, place]])
        # A running sum adds one tree after the other, whatever the number of rows.
        return steps.cumsum(axis=0)[-1]
