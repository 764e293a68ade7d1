"""The audit of a book: passes as it is, fails on a model chosen by hindsight and on correlations that look ahead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.evaluation.leakage import CONTROL, UNCHANGED, AuditResult
from volassets.evaluation.portfolio_leakage import ONE_MEMBER, replaced_forecasts
from volassets.evaluation.portfolio_panel import Panel
from volassets.pipeline import portfolio_audit, portfolio_members, portfolio_steps
from volassets.pipeline.cells import Partition
from volassets.pipeline.context import Context
from volassets.pipeline.executor import Executor
from volassets.pipeline.leakage_audit import cut_dates
from volassets.pipeline.portfolio_audit import audit_stored_portfolio
from volassets.pipeline.state import State
from volassets.pipeline.steps import steps
from volassets.settings import Settings, load_settings
from volassets.timing import months_between
from volassets.warehouse.store import open_warehouse

TICKERS = ("AAA", "BBB", "CCC")
BOOK = {"AAA": 0.6, "BBB": 0.5, "CCC": -0.3}
MONTHS = months_between(pd.Timestamp("2007-01-01"), pd.Timestamp("2007-03-01"))
STAGES = {f"portfolio {name}" for name in ("correlations", "contributions", "variances", "forecasts")}


def settings_of(folder: Path, **values: object) -> Settings:
    common = {"source": "csv", "csv_dir": str(folder), "tickers": TICKERS, "models": ("ewma", "rolling_20")}
    more = {"minimum_history": 400, "start_month": "2006-01", "jobs": 1, "horizons": (1, 5)}
    return load_settings(folder / "home", common | more | {"portfolios": {"book": BOOK}} | values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, simulated_bars) -> Path:
    """Three tickers with two models' forecasts of three months, and a wrong high on the day before the last of them."""
    folder = tmp_path_factory.mktemp("audited")
    for number, ticker in enumerate(TICKERS):
        bars = simulated_bars(600, number + 1)
        bars.iloc[bars.index.searchsorted(MONTHS[-1]) - 1, 1] *= 1.5
        bars.to_csv(folder / f"{ticker}.csv", date_format="%Y-%m-%d")
    settings = settings_of(folder)
    with Context(settings) as context:
        state = State(context)
        for step in steps(settings):
            if step.name in ("raw_prices", "realized_vol_features", "benchmark_forecasts"):
                monthly = "month" in step.scope.value
                asked = [Partition(t, m) for t in TICKERS for m in (MONTHS if monthly else [None])]
                for item in Executor(state).run([step], {step.name: asked}):
                    assert not item.failures, item.failures
    return folder


def audited(folder: Path, **values: object) -> AuditResult:
    with Context(settings_of(folder, **values)) as context:
        return audit_stored_portfolio(context, "book")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["auto", "best"])
def test_a_book_passes(folder: Path, model: str) -> None:
    result = audited(folder, portfolio_model=model)
    assert result.passed, result.text()
    rules = result.comparisons
    assert set(rules["stage"]) == STAGES | ({"portfolio choice"} if model == "best" else set())
    assert set(rules["rule"]) == {rule + who for rule in (UNCHANGED, CONTROL) for who in ("", ONE_MEMBER)}
    assert (rules.loc[rules["rule"].str.startswith(CONTROL), "changed_rows"] > 0).all()
    assert (rules.loc[rules["rule"].str.startswith(UNCHANGED), "rows"] >= 3).all()
    stored = open_warehouse(settings_of(folder)).read("audit_results", ticker="book")
    assert len(stored) == len(rules)


def hindsight(patch: pytest.MonkeyPatch) -> str:
    """Choose each month's model by the losses of the whole record."""
    known = portfolio_members.known_losses
    patch.setattr(portfolio_members, "known_losses", lambda daily, *_: known(daily, pd.Timestamp.max))
    return "portfolio choice"


def suspects_of_later_days(patch: pytest.MonkeyPatch) -> str:
    """Leave out of the losses what the sessions after the cut-off call suspect too."""
    patch.setattr(portfolio_members, "training_length", lambda index, _: len(index))
    known = portfolio_members.known_losses

    def of_those_before(daily: pd.DataFrame, month: pd.Timestamp, suspect: np.ndarray) -> pd.DataFrame:
        return known(daily, month, suspect[suspect < daily.index.searchsorted(month)])

    patch.setattr(portfolio_members, "known_losses", of_those_before)
    return "portfolio choice"


def residuals_after_the_cut_off(patch: pytest.MonkeyPatch) -> str:
    """Estimate the correlations of a month from its own residuals too."""
    fit = portfolio_steps.month_correlations

    def late(panel: Panel, residuals: np.ndarray, month: pd.Timestamp, *given: Any) -> Any:
        return fit(panel, residuals, month + pd.offsets.MonthBegin(1), *given)

    patch.setattr(portfolio_steps, "month_correlations", late)
    return "portfolio correlations"


@pytest.mark.slow
@pytest.mark.parametrize(
    "plant", [hindsight, suspects_of_later_days, residuals_after_the_cut_off], ids=lambda plant: plant.__name__
)
def test_each_planted_leak_is_caught(
    folder: Path, plant: Callable[[pytest.MonkeyPatch], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = plant(monkeypatch)
    monkeypatch.setattr(portfolio_audit, "MONTHS", 2)
    monkeypatch.setattr(portfolio_audit, "cut_dates", lambda *given: cut_dates(*given)[:1])
    result = audited(folder, portfolio_model="best")
    caught = set(result.failures["stage"] + ": " + result.failures["rule"])
    assert f"{stage}: {UNCHANGED}" in caught
    assert f"{stage}: {UNCHANGED}{ONE_MEMBER}" in caught


def test_a_book_without_a_month_that_has_passed_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="has forecasts of garch for every member"):
        audited(folder, models=("garch",))
    with pytest.raises(InputError, match="every weight is 0"):
        audited(folder, portfolios={"book": {"AAA": 0.0}})


def test_dated_weights_are_audited_as_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portfolio_audit, "MONTHS", 1)
    monkeypatch.setattr(portfolio_audit, "cut_dates", lambda *given: cut_dates(*given)[1:])
    dated = pd.DataFrame(
        {"date": pd.to_datetime(["2007-01-02", "2007-03-12"]), "ticker": ["AAA", "BBB"], "weight": [1.0, 0.5]}
    )
    monkeypatch.setattr(portfolio_audit, "weights_of", lambda *_: dated)
    result = audited(folder)
    assert result.passed, result.text()


def test_forecasts_up_to_the_cut_and_of_others_stay() -> None:
    days = pd.to_datetime(["2007-01-02", "2007-01-03"] * 2)
    rows = pd.DataFrame({"ticker": ["A", "A", "B", "B"], "origin_date": days, "variance": 1e-4})
    found = replaced_forecasts(rows, days[0], ["A"], "noise")
    assert (found["variance"] != rows["variance"]).tolist() == [False, True, False, False]
    assert len(replaced_forecasts(rows, days[0], ["A", "B"], "dropped")) == 2
