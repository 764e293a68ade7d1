"""What the daemon does between schedules: follow updates, report failed runs, close killed ones."""

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin

from volassets.clock import utc_now
from volassets.notifications import notify, run_message
from volassets.object_io import is_url, remove_drafts
from volassets.orchestration.check_results import age_evaluations, ages_not_judged
from volassets.orchestration.jobs import (
    COMMAND_LINE,
    MONTHS_TAG,
    SCHEDULE_TAG,
    STARTED_TAG,
    TICKERS_TAG,
    step_error,
)
from volassets.orchestration.orphaned_runs import close_orphaned_runs
from volassets.orchestration.run_findings import events_of, failed_checks, run_findings
from volassets.pipeline.context import Context
from volassets.pipeline.run_events import CHECK, FAILED
from volassets.pipeline.steps import Step, following
from volassets.settings import Settings, load_settings

FOLLOW = "follow_updates"
RELOAD = (
    "the settings have changed since the definitions were loaded: click Deployment, Reload definitions. "
    "Runs use the new settings in any case."
)
RELOADING = "the settings have changed since the definitions were loaded: loading them again"
# The tick has to be over: the server that evaluates it is replaced by the new one.
RELOAD_AFTER_SECONDS = 2.0
RELOAD_SECONDS = 120
# A session closes once a day, at another hour on every exchange.
AGES_SECONDS = 900
RUNNING = dg.DefaultSensorStatus.RUNNING


def build_sensors(settings: Settings, steps: Sequence[Step]) -> list[dg.SensorDefinition]:
    """Return the sensors of `settings`."""

    @dg.run_failure_sensor(
        name="tell_failures",
        default_status=RUNNING,
        description="Logs one line per failed run, and sends it to what the setting `notify` names.",
    )
    def tell_failures(context: dg.RunFailureSensorContext) -> None:
        errors = [step_error(event) for event in context.get_step_failure_events()]
        message = failure_message(context.dagster_run, context.failure_event.message or "", errors)
        context.log.error(message["text"])
        checks = failed_checks(events_of(context.instance, context.dagster_run.run_id))
        _tell(settings, context, {**message, "events": {FAILED: errors, CHECK: checks}} if checks else message)

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name="tell_findings",
        default_status=RUNNING,
        description="After a run that did not fail, one message about failed checks, violations of value at risk and "
        "old prices, to what the setting `notify` names.",
    )
    def tell_findings(context: dg.RunStatusSensorContext) -> None:
        run = context.dagster_run
        if not (settings.notify or settings.webhook):
            return
        found = run_findings(settings, events_of(context.instance, run.run_id))
        if any(found.values()):
            about = [run.tags[tag] for tag in (TICKERS_TAG, MONTHS_TAG) if run.tags.get(tag)]
            _tell(settings, context, run_message(", ".join([part_of(run), *about]), found))

    @dg.sensor(
        name="close_killed",
        minimum_interval_seconds=60,
        default_status=RUNNING,
        description="Marks runs whose process is gone as failed, so that they do not hold a place in the queue, and "
        "once a day removes the files that killed writers have left.",
    )
    def close_killed(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        now = utc_now()
        if context.cursor != f"{now:%Y-%m-%d}":
            removed = [file for folder in local_folders(settings) for file in remove_drafts(folder, now)]
            context.log.info(f"{len(removed)} unfinished files of killed writers removed")
            context.update_cursor(f"{now:%Y-%m-%d}")
        closed = close_orphaned_runs(context.instance, settings.home)
        return dg.SkipReason(f"closed {', '.join(closed)}" if closed else "no run was killed")

    @dg.sensor(
        name="watch_ages",
        minimum_interval_seconds=AGES_SECONDS,
        default_status=RUNNING,
        description="Says on the checks bars_current and forecasts_current how many sessions old the newest bar and "
        "forecast of every ticker are, whenever that changes.",
    )
    def watch_ages(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        said: dict[str, str] = json.loads(context.cursor or "{}")
        with Context(settings) as opened:
            judged = list(age_evaluations(opened, steps))
        names = {(each.check_name, each.partition) for each in judged}
        before = ((check, ticker) for check, _, ticker in (name.partition("|") for name in said))
        judged += ages_not_judged(settings, steps, (name for name in before if name not in names))
        texts = {f"{each.check_name}|{each.partition}": each.description for each in judged}
        found = [each for each in judged if said.get(f"{each.check_name}|{each.partition}") != each.description]
        if not found:
            return dg.SkipReason("no age has changed")
        return dg.SensorResult(asset_events=found, cursor=json.dumps(texts))

    @dg.sensor(
        name="watch_settings",
        minimum_interval_seconds=30,
        default_status=RUNNING,
        description="Loads the definitions again when the settings have changed, as after `tickers add`; where the "
        "code server cannot be reached, says so.",
    )
    def watch_settings(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if load_settings(settings.home) == settings:
            return dg.SkipReason("the definitions are those of the settings")
        origin = context.code_location_origin
        if isinstance(origin, GrpcServerCodeLocationOrigin):
            threading.Timer(RELOAD_AFTER_SECONDS, reload_definitions, (origin,)).start()
            return dg.SkipReason(RELOADING)
        context.log.warning(RELOAD)
        return dg.SkipReason(RELOAD)

    follow = dg.AutomationConditionSensorDefinition(
        FOLLOW,
        target=dg.AssetSelection.assets(*(step.name for step in following(steps))),
        minimum_interval_seconds=settings.follow_interval,
        default_status=RUNNING,
        run_tags={SCHEDULE_TAG: FOLLOW, STARTED_TAG: FOLLOW},
        description="Compares the models of a ticker again when its forecasts were materialized, whoever asked for "
        "them, and the panel when the comparisons are done; also after a run in which other tickers failed.",
    )
    return [follow, tell_failures, tell_findings, close_killed, watch_ages, watch_settings]


def _tell(settings: Settings, context: dg.RunStatusSensorContext, message: Mapping[str, object]) -> None:
    # A run of the command line tells at its end, once for all of its blocks.
    if context.dagster_run.tags.get(STARTED_TAG) != COMMAND_LINE and (problem := notify(settings, message)):
        context.log.warning(problem)


def reload_definitions(origin: GrpcServerCodeLocationOrigin) -> None:
    """Let the code server behind `origin` load the definitions again; webserver and daemon notice it by themselves.

    A server that cannot (`dagster api grpc`) refuses; the next tick tries again.
    """
    with suppress(DagsterUserCodeUnreachableError):
        origin.create_client().reload_code(timeout=RELOAD_SECONDS)


def local_folders(settings: Settings) -> list[Path]:
    """Return the directories of this machine that runs write to: the home, and that of the cells."""
    return [settings.home, *([] if is_url(settings.files) else [Path(settings.files)])]


def part_of(run: dg.DagsterRun) -> str:
    """Return what a run is part of, in words: a tick of a schedule starts one run per block, which the job names."""
    schedule = run.tags.get(SCHEDULE_TAG)
    return run.job_name if schedule in (None, run.job_name) else f"{schedule} ({run.job_name})"


def failure_message(run: dg.DagsterRun, reason: str, errors: Sequence[str]) -> dict[str, str]:
    """Return what is sent about a failed run; `text` is one line."""
    tags = run.tags
    first = tags.get("dagster/asset_partition_range_start") or tags.get("dagster/partition") or ""
    last = tags.get("dagster/asset_partition_range_end")
    where = f"{first} .. {last}" if last and last != first else first
    why = " ".join(" ".join([*errors] or [reason]).split())
    return {
        "text": " ".join(f"volassets: {part_of(run)} failed {f'for {where}' if where else ''}: {why}".split())[:1000],
        "run_id": run.run_id,
        "job": run.job_name,
        "partition": where,
        "error": why,
    }
