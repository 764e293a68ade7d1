"""Backups of the home by the daemon, where the setting `backup_schedule` asks for them."""

import dagster as dg

from volassets.clock import utc_now
from volassets.settings import Settings
from volassets.warehouse.backups import back_up
from volassets.warehouse.store import open_warehouse


def backup_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Return the schedule that backs up the home, with its job; none where the setting is empty."""
    if not settings.backup_schedule:
        return []

    @dg.op(name="back_up", description="Writes a backup into the home and removes the oldest beyond the number kept.")
    def write_backup(context: dg.OpExecutionContext) -> None:
        file = back_up(open_warehouse(settings), settings, utc_now())
        context.log.info(f"wrote {file}")

    @dg.job(name="back_up_home", executor_def=dg.in_process_executor)
    def back_up_home() -> None:
        write_backup()

    return [
        dg.ScheduleDefinition(
            name="back_up",
            cron_schedule=settings.backup_schedule,
            job=back_up_home,
            execution_timezone=settings.timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
        )
    ]
