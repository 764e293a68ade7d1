"""The small Transformer: inputs, labels, loss and training of `volassets.models.lstm` with another encoder."""

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
    code_version: ClassVar[str] = "3"
    kernels: ClassVar[str] = "transformer_kernels"

    width: Annotated[int, Field(ge=1, le=512, description="Width of the block.")] = 16
    heads: Annotated[int, Field(ge=1, le=32, description="Attention heads; divides the width.")] = 2

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Transformer:
        if self.width % self.heads:
            raise ValueError(f"heads = {self.heads} must divide width = {self.width}")
        return self

    def network(self, horizons: int, covariates: int = 0) -> StackedTransformer:
        """See `EnsembleModel.network`."""
        from volassets.models.networks import StackedTransformer

        sizes = {"width": self.width, "heads": self.heads, "days": self.sequence_length, "head": self.head_units}
        static = len(STATIC) + covariates
        return StackedTransformer(self.seeds, len(CHANNELS), static, horizons, **sizes, dropout=self.dropout)
