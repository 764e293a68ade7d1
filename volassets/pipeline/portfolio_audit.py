"""The audit of a home's books: their own steps, in a store of their own, on bars and forecasts with another future."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.evaluation.leakage import AuditResult
from volassets.evaluation.portfolio_leakage import BookPipeline, audit_book
from volassets.evaluation.portfolio_panel import panel_of
from volassets.market.suspect_ranges import suspect_days
from volassets.pipeline.cell_changes import changes_of
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.leakage_audit import cut_dates
from volassets.pipeline.portfolio_members import (
    ALWAYS,
    BEST,
    default_model,
    held_weights,
    members_of,
    portfolio_problem,
    weights_of,
)
from volassets.pipeline.portfolio_state import CONTRIBUTIONS, CORRELATIONS, FORECASTS, VARIANCES, members_in
from volassets.pipeline.portfolio_steps import BACKTESTS, GROUP
from volassets.pipeline.state import FEATURES, State
from volassets.pipeline.step import Step
from volassets.pipeline.steps import steps
from volassets.pipeline.workers import CellJob, Job, compute_cells
from volassets.settings import Settings
from volassets.warehouse.store import Replacement, Upsert

# So many months have more than 250 sessions, from which on out-of-sample residuals alone are used.
MONTHS = 14
# A book of hundreds would take hours and shows nothing more.
MEMBERS = 20
CHOICE = "choice"
_CELL = ("ticker", "refit_month", "model")
_STAGES = {CORRELATIONS: "correlations", CONTRIBUTIONS: "contributions", VARIANCES: "variances", FORECASTS: "forecasts"}
_FORECASTS = """
    SELECT * FROM {family}_forecasts
    WHERE ticker IN (SELECT unnest($tickers)) AND model IN (SELECT unnest($models)) AND refit_month <= $month
    ORDER BY ticker, model, refit_month, horizon, origin_date
"""


def audit_stored_portfolio(context: Context, name: str) -> AuditResult:
    """Audit the steps of a book on its members' stored bars and forecasts; store what was compared.

    The cuts are in the last month that has forecasts of all members and bars after it, as for a ticker; the months
    before are computed again with it, up to `MONTHS`.

    Raises
    ------
    InputError
        If the book cannot be forecast, or no month has both.
    """
    settings, given = context.settings, weights_of(context, name)
    if problem := portfolio_problem(settings, name, given):
        raise InputError(problem)
    newest = given[given["weight"] != 0].sort_values("date", kind="stable").drop_duplicates("ticker", keep="last")
    largest = newest.assign(size=newest["weight"].abs()).nlargest(MEMBERS, "size")["ticker"]
    given = given[given["ticker"].isin(largest)].reset_index(drop=True)
    members = members_of(given)
    bars = {member: context.bars(member) for member in members}
    months, cuts = _audited_months(context, name, members, bars)
    forecasts = _stored_forecasts(context, members, months[-1])
    pipeline = book_pipeline(settings, name, given, months)
    # Of one that is held no more, another future changes nothing.
    held = np.abs(np.nan_to_num(held_weights(given, members, np.array(cuts, "datetime64[ns]")))).sum(axis=0)
    result = audit_book(bars, forecasts, pipeline, cuts, members[int(held.argmax())])
    rows = result.comparisons.assign(ticker=name)
    context.warehouse.write(Replacement("audit_results", rows, pd.DataFrame({"ticker": [name]})))
    return result


def book_pipeline(settings: Settings, name: str, weights: pd.DataFrame, months: Sequence[pd.Timestamp]) -> BookPipeline:
    """Return the steps of a book over some months as a function of its members' bars and forecasts.

    Parameters
    ----------
    settings : Settings
    name : str
    weights : DataFrame
        Columns date, ticker, weight, as `weights_of` gives them.
    months : sequence of Timestamp
    """
    members = members_of(weights)
    fixed = dict(zip(weights["ticker"], weights["weight"], strict=True)) if (weights["date"] == ALWAYS).all() else {}
    changed = {"tickers": tuple(members), "portfolios": {name: fixed}, "warehouse": "duckdb", "pool": ()}

    def run(bars: Mapping[str, pd.DataFrame], forecasts: pd.DataFrame) -> dict[str, pd.DataFrame]:
        with tempfile.TemporaryDirectory(prefix="volassets-audit-") as folder:
            own = settings.model_copy(update={**changed, "home": Path(folder)})
            with Context(own, refit_pool=True) as context:
                _fill(context, bars, forecasts, Replacement("positions", weights.assign(portfolio=name), _named(name)))
                return _computed(context, name, months)

    return run


def _audited_months(
    context: Context, name: str, members: Sequence[str], bars: Mapping[str, pd.DataFrame]
) -> tuple[list[pd.Timestamp], tuple[pd.Timestamp, ...]]:
    """Return the months to compute, the audited one last, and its cut dates."""
    state = State(context, members)
    model = default_model(context.settings)
    table = f"{context.settings.model(model).family}_forecasts"
    months = set.intersection(*(set(state.months(table, member, model)) for member in members))
    sessions = pd.DatetimeIndex(panel_of({member: own["adj_close"] for member, own in bars.items()}).dates)
    past = [month for month in sorted(months) if (sessions >= month + pd.offsets.MonthBegin(1)).any()]
    if not past:
        raise InputError(
            f"portfolio {name!r}: no month that has passed has forecasts of {model} for every member, and its audit "
            "needs one: `volassets run` makes them."
        )
    return past[-MONTHS:], cut_dates(sessions, past[-1])


def _stored_forecasts(context: Context, members: Sequence[str], month: pd.Timestamp) -> pd.DataFrame:
    """Return the stored forecasts that a book of `members` may be made from, with the column family."""
    settings = context.settings
    best = settings.portfolio_model == BEST
    models = list(settings.chosen_models) if best else [default_model(settings)]
    frames = []
    for family in dict.fromkeys(settings.model(model).family for model in models):
        values = {"tickers": list(members), "models": models, "month": month.to_pydatetime()}
        rows = context.warehouse.query(_FORECASTS.format(family=family), values)
        frames.append(rows.assign(family=family, origin_date=pd.to_datetime(rows["origin_date"])))
    return pd.concat(frames, ignore_index=True)


def _fill(context: Context, bars: Mapping[str, pd.DataFrame], forecasts: pd.DataFrame, positions: Replacement) -> None:
    """Write what a home would have of bars and forecasts."""
    prices, suspects = [], []
    for ticker, own in bars.items():
        fetched = own.assign(ticker=ticker, source="audit", fetched_at=own.index[-1]).reset_index(names="date")
        prices.append(fetched)
        suspects.append(suspect_days(own).assign(ticker=ticker))
        context.set_bars(ticker, own)
    context.warehouse.write(
        Upsert("raw_prices", pd.concat(prices, ignore_index=True)),
        Replacement("suspect_days", pd.concat(suspects, ignore_index=True), pd.DataFrame({"ticker": list(bars)})),
        positions,
        *(
            Replacement(f"{family}_forecasts", rows.drop(columns="family"), rows[list(_CELL)].drop_duplicates())
            for family, rows in forecasts.groupby("family", sort=False)
        ),
    )


def _computed(context: Context, name: str, months: Sequence[pd.Timestamp]) -> dict[str, pd.DataFrame]:
    """Compute the book's steps; return their rows by stage with known_at, and the losses that a choice is made by."""
    state, settings = State(context), context.settings
    for step in steps(settings):
        if step.name == FEATURES and settings.portfolio_model == BEST:
            for ticker in settings.tickers:
                _compute(state, step, [Partition(ticker)])
        if step.group == GROUP and step.name != BACKTESTS:
            owner = "" if step.scope is Scope.MONTH else name
            _compute(state, step, [Partition(owner, month) for month in months])
    closes = {ticker: context.bars(ticker)["adj_close"] for ticker in settings.tickers}
    sessions = panel_of(closes).dates
    before = {month: pd.Timestamp(sessions[sessions < np.datetime64(month, "ns")][-1]) for month in months}
    found = {}
    for table, stage in _STAGES.items():
        rows = context.warehouse.read(table).drop(columns="data_hash", errors="ignore")
        stamps = pd.to_datetime(rows["refit_month"])
        known = rows["origin_date"] if "origin_date" in rows else stamps.map(before)
        found[stage] = rows.assign(month=stamps, known_at=pd.to_datetime(known))
    if settings.portfolio_model == BEST:
        members = members_in(state)
        listed = [
            members.losses(ticker, month).reset_index().assign(ticker=ticker, month=month, known_at=before[month])
            for month in months
            for ticker in settings.tickers
        ]
        found[CHOICE] = pd.concat(listed, ignore_index=True)
    return found


def _compute(state: State, step: Step, places: Sequence[Partition]) -> None:
    """Compute cells of a step in this process and write them; leave out what has nothing to compute.

    A run would refuse them: it asks that forecasts are those of the bars, and here both have another future.
    """
    context = state.context
    places = [place for place in places if not step.gap(state, place, None)]
    rows = step.load(state, places)
    cells = [CellJob(place, None, step.fingerprint(state, place, None), rows.get(place, {})) for place in places]
    own = places[0].ticker if places and step.scope is Scope.TICKER else ""
    assert step.compute is not None
    results = compute_cells(
        Job(
            lock="",
            compute=step.compute,
            settings=context.settings,
            cells=cells,
            features={},
            bars=context.bars(own) if own else None,
            calendars={own: context.calendar(own).name} if own else {},
            files=context.settings.files,
        )
    )
    for result in results:
        if result.error:
            raise InputError(f"{step.name} of {result.partition.label}: {result.error}")
    written = [(result, result.output) for result in results if result.output is not None]
    if written:
        context.warehouse.write(*changes_of(step, written))
    for result, _ in written:
        state.stored_hashes.put(step.table, result.partition, result.model, result.data_hash)


def _named(name: str) -> pd.DataFrame:
    return pd.DataFrame({"portfolio": [name]})
