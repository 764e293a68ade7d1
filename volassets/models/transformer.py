"""The small Transformer on log variances: expanding window, QLIKE loss, five seeds averaged in logs.

Inputs, labels, anchor, loss and training are those of `volassets.models.lstm`; only the encoder differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from volassets.models.ensemble import EnsembleModel
from volassets.models.sequences import CHANNELS, STATIC

if TYPE_CHECKING:
    from volassets.models.networks import StackedTransformer


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Transformer(EnsembleModel):
    """Settings of the Transformer."""

    name: ClassVar[str] = "transformer"
    family: ClassVar[str] = "transformer"
    code_version: ClassVar[str] = "2"

    width: Annotated[int, Field(ge=1, le=512, description="Width of the block.")] = 16
    heads: Annotated[int, Field(ge=1, le=32, description="Attention heads; divides the width.")] = 2

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Transformer:
        if self.width % self.heads:
            raise ValueError(f"heads = {self.heads} must divide width = {self.width}")
        return self

    def network(self, horizons: int) -> StackedTransformer:
        """Return the stack of networks, one per seed, not drawn yet."""
        from volassets.models.networks import StackedTransformer

        return StackedTransformer(
            self.seeds,
            channels=len(CHANNELS),
            static=len(STATIC),
            horizons=horizons,
            width=self.width,
            heads=self.heads,
            days=self.sequence_length,
            head=self.head_units,
            dropout=self.dropout,
        )
