"""One job per block of steps; the schedules and sensors launch them, a person starts from the assets."""

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from volassets.pipeline.step import Step
from volassets.pipeline.steps import blocks

Jobs = dict[str, UnresolvedAssetJobDefinition]


def block_name(block: Sequence[Step]) -> str:
    """Return the name of a block of steps: its job."""
    return block[0].job or f"refresh_{block[0].name}"


def op_name(block: str) -> str:
    """Return the name of a block's op, which has the run's options; Dagster wants it to differ from the job's."""
    return f"{block}_assets"


def build_jobs(steps: Sequence[Step]) -> Jobs:
    """Return the jobs by name."""
    return {
        block_name(block): dg.define_asset_job(
            block_name(block),
            selection=dg.AssetSelection.assets(*(step.name for step in block)),
            description=f"Computes {', '.join(step.name for step in block)}: what is missing or stale of them.",
        )
        for block in blocks(steps)
    }
