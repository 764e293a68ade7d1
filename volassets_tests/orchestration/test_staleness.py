"""A change makes exactly the cells stale that depend on it, and the reason says what changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volassets.pipeline import fingerprints
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.home_status import read_status
from volassets.pipeline.partition_result import PartitionResult
from volassets.pipeline.planner import CHANGED, FORCED, MISSING, NEW_BARS, PlannedCell, partitions_of, plan
from volassets.pipeline.state import State
from volassets.pipeline.step import Step
from volassets.pipeline.steps import steps
from volassets.settings import Settings
from volassets.timing import months_between

MONTHS = months_between(pd.Timestamp("2006-09-01"), pd.Timestamp("2006-11-01"))
MODELS = ("naive", "garch", "log_har", "elastic_net")


class Fixed:
    """A source that gives the bars that a test sets."""

    name = "csv"

    def __init__(self, bars: pd.DataFrame) -> None:
        self.bars = bars

    def fetch(self, ticker: str, start: object = None, end: object = None) -> pd.DataFrame:
        """Return the bars."""
        return self.bars

    def known(self, ticker: str) -> bool:
        """Every ticker."""
        return True


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    """2005-01-03 to the middle of November 2006."""
    from volassets_tests.conftest import simulate_bars

    return simulate_bars(490, 3).iloc[:488]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, bars: pd.DataFrame) -> Path:
    """A home with every cell of MONTHS."""
    home = tmp_path_factory.mktemp("stale") / "home"
    with Context(_settings(home), source=Fixed(bars)) as context:
        listed = [step for step in steps(context.settings) if step.scope is not Scope.ONCE]
        places = {step.name: partitions_of(step, {"ACME": MONTHS}) for step in listed}
        done = list(Executor(State(context)).run(listed, places))
    assert not [item.failures for item in done if item.failures]
    return home


def _settings(home: Path, **overrides: object) -> Settings:
    from volassets.settings import load_settings

    values = {"tickers": ("ACME",), "models": MODELS, "minimum_history": 400, "jobs": 1, "start_month": "2006-01"}
    return load_settings(home, {**values, **overrides})


def _stale(settings: Settings, bars: pd.DataFrame | None = None, force: bool = False) -> list[PlannedCell]:
    """Return the missing and stale cells but those of risk."""
    context = Context(settings)
    if bars is not None:
        context.set_bars("ACME", bars)
    listed = [step for step in steps(settings) if step.scope is Scope.TICKER_MONTH]
    cells = plan(State(context), listed, {"ACME": MONTHS}, force)
    risk = [planned for planned in cells if planned.cell.step == "risk_forecasts"]
    others = [planned for planned in cells if planned.cell.step != "risk_forecasts"]
    # Risk is made from the forecasts: the same months and models, whatever has changed.
    assert {p.cell[1:] for p in risk} == {p.cell[1:] for p in others if p.cell.step.endswith("_forecasts")}
    return others


def _comparison_is_stale(settings: Settings) -> str:
    ((_, (status,)),) = read_status(Context(settings), steps(settings))
    return "".join(cell.reason for cell in status.cells if cell.cell.step == "comparison_reports")


def _compute(settings: Settings, name: str, months: list[pd.Timestamp]) -> list[PartitionResult]:
    """Run one step of the ticker."""
    with Context(settings) as context:
        return list(Executor(State(context)).run([_step(settings, name)], {name: [_place(month) for month in months]}))


def _step(settings: Settings, name: str) -> Step:
    (step,) = [step for step in steps(settings) if step.name == name]
    return step


def _place(month: pd.Timestamp) -> Partition:
    return Partition("ACME", month)


def _what(cells: list[PlannedCell]) -> set[tuple[str, str]]:
    return {(cell.cell.step, cell.cell.model) for cell in cells}


def test_nothing_is_stale_after_a_run(home: Path) -> None:
    settings = _settings(home)
    assert _stale(settings) == []
    assert _comparison_is_stale(settings) == ""


def test_force_and_missing_have_their_own_reasons(home: Path) -> None:
    assert {cell.reason for cell in _stale(_settings(home), force=True)} == {FORCED}
    fresh = [*MODELS, "gjr"]
    cells = _stale(_settings(home, models=tuple(fresh)))
    assert {(c.cell.step, c.cell.model, c.reason) for c in cells} == {
        ("garch_fits", "gjr", MISSING),
        ("garch_forecasts", "gjr", MISSING),
    }


def test_a_models_setting_makes_its_own_fits_and_forecasts_stale(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLASSETS_GARCH_WINDOW", "450")
    cells = _stale(_settings(home))
    assert _what(cells) == {("garch_fits", "garch"), ("garch_forecasts", "garch")}
    assert len(cells) == 2 * len(MONTHS)
    reasons = {cell.reason for cell in cells if cell.cell.step == "garch_fits"}
    assert len(reasons) == 1
    assert reasons.pop().startswith("settings changed: [garch] window ")


def test_a_code_version_makes_its_own_fits_and_forecasts_stale(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(home)
    model = type(settings.model("garch"))
    before = model.code_version
    monkeypatch.setattr(model, "code_version", "next")
    cells = _stale(settings)
    assert _what(cells) == {("garch_fits", "garch"), ("garch_forecasts", "garch")}
    assert {c.reason for c in cells if c.cell.step == "garch_fits"} == {f"code version of garch {before} -> next"}


def test_the_selections_settings_reach_only_the_models_that_use_it(home: Path) -> None:
    settings = _settings(home, correlation_threshold=0.5)
    assert _what(_stale(settings)) == {("selected_features", "")}
    before, after = (Context(made).ticker("ACME").fingerprints for made in (_settings(home), settings))
    for name, same in (("garch", True), ("elastic_net", True), ("lstm_reference", False)):
        model = settings.model(name)
        assert (before.fit(model, MONTHS[0]) == after.fit(model, MONTHS[0])) is same, name


def test_the_interval_level_makes_forecasts_stale_and_no_fit(home: Path) -> None:
    cells = _stale(_settings(home, interval_level=0.8))
    assert {cell.cell.step for cell in cells} == {"benchmark_forecasts", "garch_forecasts", "linear_forecasts"}
    assert {cell.reason for cell in cells} == {NEW_BARS}


def test_an_upstream_code_version_makes_everything_below_stale(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fingerprints.CODE_VERSIONS, "features", "next")
    cells = _stale(_settings(home))
    assert len(cells) == len(MONTHS) * (2 + 3 + len(MODELS))
    assert _comparison_is_stale(_settings(home)) == CHANGED


def test_backtest_settings_touch_the_comparison_alone(home: Path) -> None:
    settings = _settings(home, target_volatility=0.2)
    assert _stale(settings) == []
    assert _comparison_is_stale(settings) == CHANGED


def test_appended_bars_touch_the_running_months_forecasts_alone(home: Path, bars: pd.DataFrame) -> None:
    from volassets_tests.conftest import simulate_bars

    longer = simulate_bars(490, 3)
    pd.testing.assert_frame_equal(longer.iloc[:488], bars)
    cells = _stale(_settings(home), longer)
    assert {cell.cell.partition.month for cell in cells} == {MONTHS[-1]}
    assert {cell.cell.step for cell in cells} == {"benchmark_forecasts", "garch_forecasts", "linear_forecasts"}
    assert {cell.reason for cell in cells} == {NEW_BARS}


def test_a_revised_bar_touches_what_has_seen_it(home: Path, bars: pd.DataFrame) -> None:
    revised = bars.copy()
    day = bars.index[bars.index.searchsorted(pd.Timestamp("2006-10-16"))]
    revised.loc[day, "close"] = np.nextafter(revised.loc[day, "close"], 0)
    cells = _stale(_settings(home), revised)
    october = {cell.cell.step for cell in cells if cell.cell.partition.month == MONTHS[1]}
    november = {cell.cell.step for cell in cells if cell.cell.partition.month == MONTHS[2]}
    assert {cell.cell.partition.month for cell in cells} == {MONTHS[1], MONTHS[2]}
    assert october == {"benchmark_forecasts", "garch_forecasts", "linear_forecasts"}
    assert november == {*october, "garch_fits", "linear_fits", "lag_analysis", "selected_features"}
    assert {c.reason for c in cells if c.cell.step == "garch_fits"} == {CHANGED}


def test_only_the_stale_cells_are_computed_again(home: Path) -> None:
    wider, usual = _settings(home, interval_level=0.95), _settings(home)
    done = _compute(wider, "linear_fits", MONTHS)
    assert [item.computed for item in done] == [[]] * len(MONTHS)
    assert sum(len(item.unchanged) for item in done) == 2 * len(MONTHS)
    _compute(wider, "garch_forecasts", MONTHS[:1])
    done = _compute(usual, "garch_forecasts", MONTHS)
    assert [(item.partition.month, item.computed) for item in done if item.computed] == [(MONTHS[0], ["garch"])]
    assert _stale(usual) == []


def test_prefix_hashes_do_not_depend_on_the_order_of_asking() -> None:
    values = np.random.default_rng(1).standard_normal((50, 7))
    upwards, shuffled = fingerprints.PrefixHashes(values), fingerprints.PrefixHashes(values)
    order = np.random.default_rng(2).permutation(51)
    texts = {int(n): shuffled(int(n)) for n in order}
    assert [upwards(n) for n in range(51)] == [texts[n] for n in range(51)]
    assert len(set(texts.values())) == 51
