"""Ridge regression over all tickers: shared slopes, each ticker's own level and smearing.

The penalty is chosen on expanding blocks in time, per horizon: a block of days is forecast from the rows, of whatever
ticker, whose labels are realised by its first day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from volassets.models.linear import prefix_moments, weighted
from volassets.models.pool import PooledRegression


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PooledRidge(PooledRegression):
    """Settings of the pooled ridge regression (Hoerl and Kennard 1970)."""

    name: ClassVar[str] = "pooled_ridge"
    uses_covariates: ClassVar[bool] = True

    folds: Annotated[int, Field(ge=2, le=20, description="Blocks in time that choose the penalty.")] = 5
    penalties: Annotated[int, Field(ge=1, le=200, description="Penalties that are tried.")] = 9
    smallest_penalty: Annotated[float, Field(gt=0, description="Smallest penalty on the squared slopes.")] = 1.0
    largest_penalty: Annotated[float, Field(gt=0, description="Largest penalty.")] = 1e4
    maximum_rows: Annotated[
        int, Field(ge=1000, description="Rows of the pool, above it sampled evenly over its tickers.")
    ] = 1_000_000

    def estimate(
        self, inputs: np.ndarray, label: np.ndarray, days: np.ndarray, ends: np.ndarray, seed: int
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """See `PooledRegression.estimate`."""
        order = np.argsort(ends, kind="stable")
        inputs, label, days, ends = inputs[order], label[order], days[order], ends[order]
        path = np.geomspace(self.largest_penalty, self.smallest_penalty, self.penalties)
        blocks = np.array_split(np.unique(days), self.folds + 1)[1:]
        cuts = [int(np.searchsorted(ends, block[0], side="right")) for block in blocks]
        # An early block with fewer rows before it than inputs decides nothing.
        kept = [(block, cut) for block, cut in zip(blocks, cuts, strict=True) if cut > 2 * inputs.shape[1]]
        *prefixes, (gram, moment, means) = prefix_moments(
            np.column_stack([inputs, label]), [*(cut for _, cut in kept), len(label)]
        )
        errors = np.zeros(len(path))
        for (block, _), (past_gram, past_moment, past_means) in zip(kept, prefixes, strict=True):
            rows = (days >= block[0]) & (days <= block[-1])
            slopes = ridge_path(past_gram, past_moment, path)
            predicted = past_means[-1] + np.einsum("ij,ja->ia", inputs[rows] - past_means[:-1], slopes)
            errors += ((label[rows, None] - predicted) ** 2).mean(axis=0)
        best = int(errors.argmin())
        slopes = ridge_path(gram, moment, path[[best]])[:, 0]
        intercept = float(means[-1] - (means[:-1] * slopes).sum())
        return {"intercept": intercept, "slopes": slopes.tolist(), "penalty": float(path[best])}, {}

    def predict(self, equation: dict[str, Any], tensors: Mapping[str, np.ndarray], inputs: np.ndarray) -> np.ndarray:
        """See `PooledRegression.predict`."""
        return equation["intercept"] + weighted(inputs, equation["slopes"])


def ridge_path(gram: np.ndarray, moment: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Return the slopes (gram + penalty I)^-1 moment, shape (k, penalties)."""
    values, vectors = np.linalg.eigh(gram)
    along = np.einsum("ji,j->i", vectors, moment)
    return np.einsum("ji,ip->jp", vectors, along[:, None] / (values[:, None] + penalties))
