"""What follows a scheduled run: the comparison of its tickers, the panel, and a message about a failure."""

import json
from collections.abc import Mapping, Sequence
from urllib.request import Request, urlopen

import dagster as dg

from volassets.orchestration.jobs import SCHEDULE_TAG, Jobs, block_request, op_name, step_error
from volassets.orchestration.orphaned_runs import close_orphaned_runs
from volassets.pipeline.cells import Partition, partitions_of_spans
from volassets.settings import Settings

WEBHOOK_SECONDS = 10
RUNNING = dg.DefaultSensorStatus.RUNNING
REFRESH_PRICES, REFIT_MONTHS, COMPARE, COMPARE_PANEL = "refresh_prices", "refit_months", "compare", "compare_panel"
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def build_sensors(settings: Settings, jobs: Jobs) -> list[dg.SensorDefinition]:
    """Return the sensors of `settings`."""

    @dg.run_failure_sensor(name="tell_failures", default_status=RUNNING)
    def tell_failures(context: dg.RunFailureSensorContext) -> None:
        """Log one line per failed run, and post it to the webhook where one is set."""
        errors = [step_error(event) for event in context.get_step_failure_events()]
        message = failure_message(context.dagster_run, context.failure_event.message or "", errors)
        context.log.error(message["text"])
        if settings.webhook:
            problem = post(settings.webhook, message)
            if problem:
                context.log.warning(problem)

    @dg.sensor(name="close_killed", minimum_interval_seconds=60, default_status=RUNNING)
    def close_killed(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        """Mark runs whose process is gone as failed, so that they do not hold a place in the queue."""
        closed = close_orphaned_runs(context.instance, settings.home)
        return dg.SkipReason(f"closed {', '.join(closed)}" if closed else "no run was killed")

    return [*_followers(settings, jobs), tell_failures, close_killed]


def _followers(settings: Settings, jobs: Jobs) -> list[dg.SensorDefinition]:
    """Return what makes comparisons follow scheduled runs, also those in which a ticker failed: the others go on."""
    made: list[dg.SensorDefinition] = []
    for status, suffix in ((dg.DagsterRunStatus.SUCCESS, ""), (dg.DagsterRunStatus.FAILURE, "_with_failures")):

        @dg.run_status_sensor(
            status,
            name=f"compare_after_forecasts{suffix}",
            description="Compares the models again when a scheduled run has made forecasts.",
            monitored_jobs=[jobs[REFIT_MONTHS]],
            request_job=jobs[COMPARE],
            default_status=RUNNING,
        )
        def compare(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
            return comparison_request(settings, context.dagster_run)

        @dg.run_status_sensor(
            status,
            name=f"panel_after_comparisons{suffix}",
            description="Compares over all tickers when the last comparison of a tick is done.",
            monitored_jobs=[jobs[COMPARE]],
            request_job=jobs[COMPARE_PANEL],
            default_status=RUNNING,
        )
        def panel(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
            return panel_request(context.instance, context.dagster_run)

        made += [compare, panel]
    return made


def comparison_request(settings: Settings, run: dg.DagsterRun) -> dg.RunRequest | dg.SkipReason:
    """Return the request to compare the tickers of a scheduled run."""
    if SCHEDULE_TAG not in run.tags:
        return dg.SkipReason("not a scheduled run: whoever started it compares when it suits")
    options = run.run_config["ops"][op_name(REFIT_MONTHS)]["config"]  # type: ignore[index]
    tickers = dict.fromkeys(partition.ticker for partition in partitions_of_spans(options["cells"]))
    partitions = [Partition(ticker) for ticker in tickers]
    return block_request(settings, COMPARE, (), partitions, f"compare:{run.run_id}", run.tags[SCHEDULE_TAG])


def panel_request(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.RunRequest | dg.SkipReason:
    """Return the request for the panel, once nothing that would change it is under way."""
    for job in (REFRESH_PRICES, REFIT_MONTHS, COMPARE):
        if instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=UNFINISHED)):
            return dg.SkipReason("other comparisons are still to come")
    return dg.RunRequest(run_key=f"panel:{run.run_id}")


def failure_message(run: dg.DagsterRun, reason: str, errors: Sequence[str]) -> dict[str, str]:
    """Return what is sent about a failed run; `text` is one line."""
    tags = run.tags
    first = tags.get("dagster/asset_partition_range_start") or tags.get("dagster/partition") or ""
    last = tags.get("dagster/asset_partition_range_end")
    where = f"{first} .. {last}" if last and last != first else first
    why = " ".join(" ".join([*errors] or [reason]).split())
    name = tags.get(SCHEDULE_TAG) or run.job_name
    return {
        "text": " ".join(f"volassets: {name} failed {f'for {where}' if where else ''}: {why}".split())[:1000],
        "run_id": run.run_id,
        "job": run.job_name,
        "partition": where,
        "error": why,
    }


def post(url: str, message: Mapping[str, str]) -> str:
    """Post `message` as JSON; return what went wrong, empty if nothing did. Never raises: it only informs."""
    try:
        data = json.dumps(message).encode()
        with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=WEBHOOK_SECONDS) as answer:
            answer.read()
    except (OSError, ValueError) as error:
        return f"the webhook did not take the message: {error}"
    return ""
