"""Starts compiling the networks' code when a run begins, so that it is ready when the quick models are fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from volassets.errors import VolassetsError
from volassets.models.compilation import compile_ahead, must_compile
from volassets.models.protocol import Model
from volassets.pipeline.cells import Partition
from volassets.pipeline.state import State
from volassets.pipeline.step import Step


def compile_early(
    state: State, steps: Sequence[Step], partitions: Mapping[str, Sequence[Partition]], force: bool
) -> None:
    """Start compiling what the fits of `partitions`, by name of the step, are going to run and is not kept yet."""
    for step in steps:
        places = partitions.get(step.name, ()) if step.stage == "fits" else ()
        for model in step.variants if places else ():
            if model is None or model.name not in state.context.models:
                continue
            module = model.compiled_module()
            if module and must_compile(module) and _is_due(state, step, places, model, force):
                compile_ahead(module)


def _is_due(state: State, step: Step, places: Sequence[Partition], model: Model, force: bool) -> bool:
    # What is wrong with a cell is said where it would be computed.
    with suppress(VolassetsError):
        return any(
            force or not state.is_current(step, place, model) for place in places if not step.gap(state, place, model)
        )
    return False
