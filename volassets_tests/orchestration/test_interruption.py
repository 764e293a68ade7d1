"""A signal that comes when Dagster does not look for one ends `volassets run` all the same."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import dagster as dg
import pandas as pd
import pytest

from volassets.market.price_source import make_source
from volassets.orchestration.instance import open_instance
from volassets.orchestration.interruption import interruptible
from volassets.orchestration.runner import Request, Runner
from volassets.settings import Settings
from volassets.warehouse.store import open_warehouse

MONTH = pd.Timestamp("2006-10-01")


@pytest.mark.parametrize("moment", [dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.RUN_SUCCESS])
def test_ctrl_c_after_the_last_step_of_a_block_starts_no_other(
    write_csv: Callable,
    csv_settings: Callable[..., Settings],
    simulated_bars: Callable,
    monkeypatch: pytest.MonkeyPatch,
    moment: dg.DagsterEventType,
) -> None:
    write_csv("AAA", simulated_bars(460, 0))
    settings = csv_settings("AAA", models=("naive",))
    store_event = dg.DagsterInstance.handle_new_event

    def interrupted(instance: dg.DagsterInstance, entry: dg.EventLogEntry, **options: object) -> None:
        store_event(instance, entry, **options)  # type: ignore[arg-type]
        if entry.dagster_event and entry.dagster_event.event_type == moment:
            os.kill(os.getpid(), signal.SIGINT)

    runner = Runner(settings, make_source(settings), lambda _line: None)
    request = Request(["AAA"], MONTH, MONTH, jobs=1)
    months = runner.prepare(request)
    with monkeypatch.context() as patch:
        patch.setattr(dg.DagsterInstance, "handle_new_event", interrupted)
        with pytest.raises(KeyboardInterrupt):
            runner.run(months, request, lambda _progress: None)
    store = open_warehouse(settings)
    assert not store.read("raw_prices").empty
    assert store.read("forecasts").empty
    with open_instance(settings.home) as instance:
        assert instance.get_runs_count() == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_counts_whoever_handles_it(number: signal.Signals) -> None:
    handler = signal.signal(number, lambda *_: None)
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():
            os.kill(os.getpid(), number)
    finally:
        signal.signal(number, handler)


def test_another_signal_and_another_thread_are_left_alone() -> None:
    handler = signal.signal(signal.SIGUSR1, lambda *_: None)
    descriptor = signal.set_wakeup_fd(-1)
    reached: list[bool] = []

    def inside() -> None:
        with interruptible():
            reached.append(True)

    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGUSR1)
        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        assert reached == [True]
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.set_wakeup_fd(descriptor)
        signal.signal(signal.SIGUSR1, handler)
