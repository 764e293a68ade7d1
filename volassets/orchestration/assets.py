"""The assets: one multi-asset per block of steps with the same partitions, made from the steps' declarations.

The code starts from the run's exact cells, whatever the shape that they were asked in, and records each of them
itself: of a range, Dagster would record every cell or none.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any

import dagster as dg

from volassets.errors import VolassetsError
from volassets.orchestration import metadata
from volassets.orchestration.check_results import evaluations
from volassets.orchestration.jobs import RANGE_END_TAG, RANGE_START_TAG, block_name, op_name, repeat_tags
from volassets.orchestration.materializations import DATA_VERSION, data_version
from volassets.orchestration.orphaned_runs import hold_run
from volassets.orchestration.partitions import (
    MONTH_DIMENSION,
    PORTFOLIO_DIMENSION,
    mapping,
    only_bundled,
    partitions_of,
)
from volassets.orchestration.resources import RunOptions
from volassets.pipeline.cells import OF_PORTFOLIOS, Partition, Scope, parse_partition, partitions_of_spans
from volassets.pipeline.executor import Executor
from volassets.pipeline.issued_record import issue
from volassets.pipeline.partition_result import PartitionResult
from volassets.pipeline.planner import later_months, span
from volassets.pipeline.report_pages import wants_pages, write_pages
from volassets.pipeline.state import COMPLETE, NOTHING, State
from volassets.pipeline.step import Check, Step
from volassets.pipeline.steps import blocks, following
from volassets.settings import Settings

PARTITION_TAG = "dagster/partition"
OWNER = "team:volassets"
DAY = timedelta(days=1)
# A failure's text names this many of its cells.
SHOWN_FAILURES = 20

Event = dg.AssetMaterialization | dg.AssetCheckEvaluation


def build_assets(settings: Settings, steps: Sequence[Step]) -> list[dg.AssetsDefinition]:
    """Return the assets of `steps`, in pipeline order."""
    scopes = {step.name: step.scope for step in steps}
    specs = {step.name: _spec(settings, step, scopes) for step in steps}
    condition = _follows(steps)
    for step in following(steps):
        specs[step.name] = specs[step.name].replace_attributes(automation_condition=condition)
    return [_block(settings, block, specs) for block in blocks(steps)]


def _block(settings: Settings, block: Sequence[Step], specs: Mapping[str, dg.AssetSpec]) -> dg.AssetsDefinition:
    partitions = specs[block[0].name].partitions_def

    @dg.multi_asset(
        name=op_name(block_name(block)),
        specs=[specs[step.name] for step in block],
        check_specs=[_check_spec(step, check, partitions) for step in block for check in step.checks],
        can_subset=True,
        backfill_policy=None if partitions is None else dg.BackfillPolicy.single_run(),
        required_resource_keys={"home"},
    )
    def compute(context: dg.AssetExecutionContext, config: RunOptions) -> Iterator[Any]:
        try:
            yield from _run_block(context, config, block)
        except VolassetsError as error:
            # Its text says what to do; where it was raised does not help.
            raise dg.Failure(str(error), allow_retries=False) from None

    return compute


def _spec(settings: Settings, step: Step, scopes: Mapping[str, Scope]) -> dg.AssetSpec:
    return dg.AssetSpec(
        step.name,
        partitions_def=partitions_of(settings, step.scope),
        deps=[dg.AssetDep(name, partition_mapping=mapping(step.scope, scopes[name])) for name in step.upstream],
        description=step.description,
        group_name=step.group,
        owners=[OWNER],
        kinds=set(step.kinds),
        metadata=metadata.definition(step, settings),
        skippable=True,
        freshness_policy=_freshness(settings) if step.compute is None or step.stage == "forecasts" else None,
    )


def _follows(steps: Sequence[Step]) -> dg.AutomationCondition:
    """Return when what is made from months is made again: once, after any of them was, when no run is under way.

    Unlike Dagster's `eager`, months that were never asked for do not matter, a ticker that is new is not a reason (it
    has no bars), and neither are bars and features: forecasts follow them.
    """
    last = {step.name for step in following(steps)}
    first = [step.name for step in steps if step.scope is Scope.TICKER and step.name not in last]
    progress = dg.AutomationCondition.any_deps_in_progress()
    return (
        dg.AutomationCondition.any_deps_updated().ignore(dg.AssetSelection.assets(*first)).since_last_handled()
        & ~dg.AutomationCondition.in_progress()
        & ~progress
        & ~dg.AutomationCondition.any_deps_match(progress)
    )


def _freshness(settings: Settings) -> dg.FreshnessPolicy | None:
    """Return the policy of what a daily update brings up to date: materialized on every day that has one."""
    if only_bundled(settings):
        return None
    days = " ".join(settings.update_schedule.split()[2:])
    return dg.FreshnessPolicy.cron(f"59 23 {days}", DAY, settings.timezone)


def _check_spec(step: Step, check: Check, partitions: dg.PartitionsDefinition | None) -> dg.AssetCheckSpec:
    common: dict[str, Any] = {"description": check.description, "blocking": check.blocking}
    return dg.AssetCheckSpec(check.name, asset=step.name, partitions_def=partitions, **common)


def _run_block(context: dg.AssetExecutionContext, options: RunOptions, block: Sequence[Step]) -> Iterator[Event]:
    require_one_meaning(context.run.tags)
    home = context.resources.home
    hold_run(home.loaded().home, context.run.run_id)
    if tags := repeat_tags(context.run):
        context.instance.add_run_tags(context.run.run_id, tags)
    scope = block[0].scope
    covered = [Partition()] if scope is Scope.ONCE else [parse_partition(scope, key) for key in context.partition_keys]
    asked = partitions_of_spans(options.cells) if options.cells else covered
    named = () if scope in OF_PORTFOLIOS else (*covered, *asked)
    tickers = sorted({partition.ticker for partition in named if partition.ticker})
    with home.opened(options, context.log.info) as opened:
        state = State(opened, tickers or None)
        opened.load_bars(tickers)
        record = _Record(context, state, options)
        if not context.selected_asset_keys:
            yield from record.examined([step for step in block if step.checks], asked)
            return
        selected = [step for step in block if dg.AssetKey(step.name) in context.selected_asset_keys]
        done = Executor(state, options.force).run(selected, {step.name: asked for step in selected})
        for step, items in groupby(done, key=lambda item: item.step):
            yield from record.events(step, list(items))
        if options.issue:
            count = issue(state, tickers or list(opened.settings.tickers))
            context.log.info(f"{count} forecasts from the newest bars are in the record of what was issued")
        record.log_counts()
        if record.failures:
            yield from record.right_ones(selected, covered)
            raise record.failure()


class _Record:
    """What Dagster is given of a run: the cells that are right, the checks' results, the failures at the end."""

    def __init__(self, context: dg.AssetExecutionContext, state: State, options: RunOptions) -> None:
        self._context, self._state, self._options = context, state, options
        self._recorded: set[tuple[str, Partition]] = set()
        self._checks = context.selected_asset_check_keys
        self._computed = self._unchanged = 0
        self.failures: list[PartitionResult] = []

    def events(self, step: Step, items: Sequence[PartitionResult]) -> Iterator[Event]:
        """Yield the materializations and check results of one step."""
        pages = self._pages(step, items)
        described = metadata.describe(self._state, step, items, self._options.pictures)
        for name, months in later_months(self._state, step, described).items():
            text = f"{step.name} of {name} {span(months)} goes on from what was computed: materialize it as well"
            self._context.log.warning(text)
            newest = max((place for place in described if place.ticker == name), key=metadata.in_time)
            described[newest]["later_months"] = text
        # The newest cell that has something last: the overview shows it, and not a month without bars.
        for item in sorted(items, key=lambda each: (not each.nothing, metadata.in_time(each.partition))):
            self._computed += len(item.computed)
            self._unchanged += len(item.unchanged)
            if item.failures:
                self.failures.append(item)
                continue
            where = item.partition
            if item.nothing:
                yield self._materialization(step, where, {"nothing_to_compute": item.nothing, "dagster/row_count": 0})
            elif self._state.completeness(step, where) == COMPLETE:
                yield self._materialization(step, where, {**described.get(where, {}), **pages.get(where, {})})
        yield from self._results(step, {item.partition: item.findings for item in items}, items)

    def examined(self, steps: Sequence[Step], partitions: Sequence[Partition]) -> Iterator[Event]:
        """Yield the results of checks that were asked for without their assets."""
        for step in steps:
            found = {check.name: check.find(self._state, partitions) for check in step.checks}
            places = {
                place: {name: listed[place] for name, listed in found.items() if place in listed}
                for place in partitions
            }
            yield from self._results(step, places, ())

    def right_ones(self, steps: Sequence[Step], partitions: Sequence[Partition]) -> Iterator[Event]:
        """Yield the cells of the run's range that are right although the run fails: only the failed ones are red."""
        failed = {(item.step.name, item.partition) for item in self.failures}
        for step in steps:
            for partition in partitions:
                if (step.name, partition) in self._recorded | failed:
                    continue
                found = self._state.completeness(step, partition)
                if found == COMPLETE:
                    yield self._materialization(step, partition, {})
                elif found == NOTHING:
                    gap = next(filter(None, (step.gap(self._state, partition, model) for model in step.variants)), "")
                    yield self._materialization(step, partition, {"nothing_to_compute": gap, "dagster/row_count": 0})

    def log_counts(self) -> None:
        """Log how many cells were computed and how many were right already."""
        why = ": their inputs have not changed; the option `force` computes them again" if self._unchanged else ""
        self._context.log.info(f"{self._computed} computed, {self._unchanged} unchanged{why}")

    def failure(self) -> dg.Failure:
        """Return the failure that names the failed cells, without a traceback and without a retry."""
        lines = [
            f"{item.step.name} {item.partition.label} {model}".strip() + f": {text}"
            for item in self.failures
            for model, text in item.failures.items()
        ]
        shown = lines[:SHOWN_FAILURES]
        if len(lines) > len(shown):
            shown.append(f"and {len(lines) - len(shown)} more")
        count = f"{len(lines)} cells" if len(lines) > 1 else "One cell"
        text = "\n".join([f"{count} failed; what was computed is kept.", *shown])
        return dg.Failure(text, allow_retries=False, metadata={"failed_cells": len(lines)})

    def _materialization(
        self, step: Step, partition: Partition, described: Mapping[str, Any]
    ) -> dg.AssetMaterialization:
        self._recorded.add((step.name, partition))
        version = data_version(self._state, step, partition)
        tags = {DATA_VERSION: version} if version else {}
        if step.scope is Scope.TICKER_MONTH:
            month, ticker = partition.key.split("|")
            tags |= {f"{PARTITION_TAG}/refit_month": month, f"{PARTITION_TAG}/ticker": ticker}
        if step.scope is Scope.PORTFOLIO_MONTH:
            month, name = partition.key.split("|")
            tags |= {f"{PARTITION_TAG}/{MONTH_DIMENSION}": month, f"{PARTITION_TAG}/{PORTFOLIO_DIMENSION}": name}
        return dg.AssetMaterialization(step.name, partition=partition.key or None, metadata=dict(described), tags=tags)

    def _results(
        self, step: Step, findings: Mapping[Partition, Mapping[str, Sequence[Any]]], items: Sequence[PartitionResult]
    ) -> Iterator[dg.AssetCheckEvaluation]:
        for key, evaluation in evaluations(self._state, step, findings, items):
            if key in self._checks:
                yield evaluation

    def _pages(self, step: Step, items: Sequence[PartitionResult]) -> dict[Partition, dict[str, Any]]:
        """Write the pages of comparisons that were made, where the setting asks for them."""
        # A check that fails afterwards takes no page: its tables are stored, and the page says what is wrong.
        good = [item for item in items if (item.computed or item.unchanged) and not item.nothing]
        if not step.has_page or not wants_pages(self._state.context.settings, len(items)):
            return {}
        found: dict[Partition, dict[str, Any]] = {}
        for item, path in write_pages(self._state.context, good):
            if isinstance(path, VolassetsError):
                item.failures[""] = str(path)
            else:
                found[item.partition] = {"report": dg.MetadataValue.path(str(path))}
        return found


def require_one_meaning(tags: Mapping[str, str]) -> None:
    """Refuse a run whose tags contradict each other, as those of a job backfill do.

    Raises
    ------
    Failure
        Dagster would compute one cell and report a whole range as done.
    """
    first, last = tags.get(RANGE_START_TAG), tags.get(RANGE_END_TAG)
    single = [value for tag, value in tags.items() if tag == PARTITION_TAG or tag.startswith(f"{PARTITION_TAG}/")]
    if single and first != last:
        raise dg.Failure(
            f"this run is tagged with the range {first} ... {last} and with the single partition {'|'.join(single)}: "
            "a backfill of a job would compute that one and report them all. Nothing was computed. "
            "Start the backfill from the asset page, or with `volassets run`.",
            allow_retries=False,
        )
