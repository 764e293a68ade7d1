"""Takes bars in: the one step whose input comes from outside the store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from volassets.errors import VolassetsError
from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.locks import WriteLock
from volassets.pipeline.partition_result import COMMIT_SECONDS, PartitionResult, by_table
from volassets.pipeline.price_fetching import Answer, changes_of, fetch, refusal
from volassets.pipeline.progress import Progress, report
from volassets.pipeline.step import Step
from volassets.warehouse.store import Replacement, Upsert


def take_bars(context: Context, step: Step, partitions: Sequence[Partition]) -> Iterator[PartitionResult]:
    """Fetch, check and store bars; a ticker that is refused keeps its stored ones, and says why they are old."""
    waiting: list[tuple[PartitionResult, Answer | None, list[Replacement | Upsert], WriteLock]] = []
    last_commit = time.monotonic()
    for number, partition in enumerate(partitions, 1):
        item = PartitionResult(step, partition)
        lock = WriteLock(context.settings.home, partition.ticker)
        if not lock.take():
            # Nothing may be held while waiting for another run.
            yield from _stored(context, waiting)
            waiting = []
            lock.wait(context.log)
            context.forget([partition.ticker])
            context.answers.pop(partition.ticker, None)
        waiting.append((item, *_fetched(context, item), lock))
        if time.monotonic() - last_commit >= COMMIT_SECONDS:
            yield from _stored(context, waiting)
            waiting, last_commit = [], time.monotonic()
        error = item.failures.get("", "")
        report(Progress(step.name, partition.ticker, None, number, len(partitions), error))
    yield from _stored(context, waiting)


def _fetched(context: Context, item: PartitionResult) -> tuple[Answer | None, list[Replacement | Upsert]]:
    ticker, only = item.partition.ticker, context.fetch_only
    if only is not None and ticker not in only:
        item.unchanged = [""]
        return None, []
    try:
        answer = context.answers.pop(ticker, None) or fetch(context, ticker)
    except VolassetsError as error:
        item.failures[""] = str(error)
        context.refusals[ticker] = error
        return None, [refusal(context, ticker, error)]
    context.refusals.pop(ticker, None)
    return answer, changes_of(context, ticker, answer)


def _stored(
    context: Context, waiting: Sequence[tuple[PartitionResult, Answer | None, list[Replacement | Upsert], WriteLock]]
) -> list[PartitionResult]:
    changes = [change for _, _, listed, _ in waiting for change in listed]
    if changes:
        context.warehouse.write(*by_table(changes))
    for item, answer, _, lock in waiting:
        if answer is not None:
            item.rows = len(answer.update.changed)
            item.computed = [""] if item.rows else []
            item.unchanged = [] if item.rows else [""]
            context.set_bars(item.partition.ticker, answer.update.bars)
            context.findings[item.partition.ticker] = answer.findings
        lock.release()
    return [item for item, *_ in waiting]
