"""For every check of the graph, the results of a range are those of single runs, and none passes over a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import dagster as dg
import pandas as pd
import pytest

from volassets.definitions import build_definitions
from volassets.models.garch import Garch
from volassets.models.protocol import Fit, Window
from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.planner import partitions_of
from volassets.pipeline.state import State
from volassets.pipeline.step import Step
from volassets.pipeline.steps import blocks, steps
from volassets.settings import Settings, load_settings
from volassets.timing import months_between
from volassets_tests.conftest import simulate_bars

MONTHS = months_between(pd.Timestamp("2006-09-01"), pd.Timestamp("2006-11-01"))
TICKERS = ("GOOD", "ODD", "EMPTY")
Found = dict[tuple[str, str], tuple[bool, str, str]]
"""(check, partition key) to whether it passed, its severity and its text."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """GOOD; ODD, whose bars look odd and whose October fit did not converge; EMPTY, of which no bars are stored."""
    folder = tmp_path_factory.mktemp("checks")
    for seed, ticker in enumerate(TICKERS[:2]):
        bars = simulate_bars(500, seed)
        if ticker == "ODD":
            bars.iloc[300:, :5] *= 3.0
        bars.to_csv(folder / f"{ticker}.csv", date_format="%Y-%m-%d")
    values = {
        "source": "csv",
        "csv_dir": str(folder),
        "tickers": TICKERS,
        "models": ("naive", "garch"),
        "minimum_history": 400,
        "start_month": "2006-01",
        "jobs": 1,
        "reports": "never",
    }
    made = load_settings(folder / "home", values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("volassets.pipeline.executor.run_jobs", _here)
        patch.setattr(Garch, "fit", _without_convergence(Garch.fit))
        months = dict.fromkeys(TICKERS[:2], MONTHS)
        with Context(made) as context:
            places = {step.name: partitions_of(step, months) for step in steps(made)}
            done = list(Executor(State(context)).run(steps(made), places))
    assert not {item.partition: item.failures for item in done if item.failures}
    return made


def _here(jobs: Iterator, function: Callable, _workers: int) -> Iterator:
    for job in jobs:
        yield job, function(job)


def _without_convergence(fit: Callable[[Garch, Window], Fit]) -> Callable[[Garch, Window], Fit]:
    def stopped(self: Garch, window: Window) -> Fit:
        made = fit(self, window)
        bad = (window.ticker, window.month) == ("ODD", MONTHS[1])
        return replace(made, converged=False, message="stopped on purpose") if bad else made

    return stopped


def _checked(settings: Settings, block: Sequence[Step], first: Partition, last: Partition) -> Found:
    """Run the checks of a block alone over a range, as the UI does, and return their results."""
    definitions = build_definitions(settings)
    keys = [dg.AssetCheckKey(dg.AssetKey(step.name), check.name) for step in block for check in step.checks]
    tags = {"dagster/asset_partition_range_start": first.key, "dagster/asset_partition_range_end": last.key}
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            list(definitions.assets or ()),
            selection=dg.AssetSelection.checks(*keys),
            instance=instance,
            resources=definitions.resources,
            tags=tags if first.key else {},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            # A blocking check that finds an error fails the run.
            raise_on_error=False,
        )
    found: Found = {}
    for event in result.get_asset_check_evaluations():
        listed = event.metadata.get("messages")
        messages = str([record.data for record in listed.records] if isinstance(listed, dg.TableMetadataValue) else [])
        text = f"{event.description} {messages}"
        found[event.check_name, event.partition or ""] = event.passed, event.severity.value, text
    return found


def _places(step: Step) -> list[Partition]:
    return partitions_of(step, dict.fromkeys(TICKERS, MONTHS))


def _blocks(settings: Settings) -> list[list[Step]]:
    return [list(block) for block in blocks(steps(settings)) if any(step.checks for step in block)]


@pytest.mark.parametrize("name", [block[0].name for block in _blocks(Settings(models=("naive", "garch")))])
def test_a_range_has_the_results_of_single_runs(settings: Settings, name: str) -> None:
    (block,) = (block for block in _blocks(settings) if block[0].name == name)
    places = _places(block[0])
    whole = _checked(settings, block, places[0], places[-1])
    single: Found = {}
    for place in places:
        single |= _checked(settings, block, place, place)
    assert whole == single
    # Nothing was issued here, and bars of files have no age that is judged.
    without = {"issued_stands", "bars_current", "forecasts_current"}
    checks = {check.name for step in block for check in step.checks} - without
    assert {check for check, _ in whole} == checks
    for (_, key), (passed, severity, text) in whole.items():
        assert text.startswith(next(place.label for place in places if place.key == key))
        assert passed == text.endswith(": nothing found []")
        assert passed or severity == ("ERROR" if "'severity': 'error'" in text else "WARN")


def test_findings_are_where_they_belong_and_what_was_not_examined_has_no_result(settings: Settings) -> None:
    found: Found = {}
    for block in _blocks(settings):
        places = _places(block[0])
        found |= _checked(settings, block, places[0], places[-1])
    october = Partition("ODD", MONTHS[1]).key
    bad = {(check, key): severity for (check, key), (passed, severity, _) in found.items() if not passed}
    # What simulated bars look like, and what so few intervals cover, is for their own tests.
    seen = ("bars_plausible", "intervals_cover")
    assert bad["bars_plausible", "ODD"] == "WARN"
    assert {place: severity for place, severity in bad.items() if place[0] not in seen} == {
        ("bars_valid", "EMPTY"): "ERROR",
        ("garch_fits_converged", october): "WARN",
        # No audit was run: that is not the same as one that found nothing.
        ("no_leakage", "GOOD"): "WARN",
        ("no_leakage", "ODD"): "WARN",
        ("no_leakage", "EMPTY"): "WARN",
    }
    examined_of_empty = {check for check, key in found if key.endswith("EMPTY")}
    assert examined_of_empty == {"bars_valid", "no_leakage"}
