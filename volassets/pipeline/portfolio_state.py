"""What the cells of books should be and are computed from: hashes, requirements, gaps and the rows that are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from weakref import WeakKeyDictionary

import pandas as pd

from volassets.models.protocol import Model
from volassets.pipeline.cells import Partition
from volassets.pipeline.fingerprints import CODE_VERSIONS, digest
from volassets.pipeline.planner import span
from volassets.pipeline.portfolio_members import Members, members_of, portfolio_problem
from volassets.pipeline.state import State
from volassets.pipeline.step import Requirement, Rows

CORRELATIONS, CONTRIBUTIONS, FORECASTS = "correlation_fits", "risk_contributions", "portfolio_forecasts"
VARIANCES, STEERING = "portfolio_variances", "portfolio_steering"
CLOSES, MEMBERS, RESIDUALS, WEIGHTS = "closes", "members", "member forecasts", "weights"
_ANY_DAY = pd.Timestamp("2020-01-15")
_HASHES = "SELECT DISTINCT refit_month, data_hash FROM risk_contributions WHERE portfolio = $name"
_MEMBERS: WeakKeyDictionary[State, Members] = WeakKeyDictionary()


def members_in(state: State) -> Members:
    """Return the members of a state's home, read once."""
    if state not in _MEMBERS:
        _MEMBERS[state] = Members(state)
    return _MEMBERS[state]


def correlation_hash(state: State, partition: Partition, _model: Model | None = None) -> str:
    """Return the hash of a month's correlations; empty where no ticker has forecasts of it."""
    members, month = members_in(state), partition.refit_month
    listed = members.of(month)
    if not listed:
        return ""
    return digest(
        [(ticker, members.before(ticker, month), _closes_at(state, ticker)) for ticker in listed],
        CODE_VERSIONS["portfolio"],
    )


def contribution_hash(state: State, partition: Partition, _model: Model | None = None) -> str:
    """Return the hash of a book's month: its weights, its members' forecasts and the correlations."""
    members, month = members_in(state), partition.refit_month
    rows = members_in(state).weights(partition.ticker)
    names = members_of(rows)
    if not names or not all(members.stored(name, month) for name in names):
        return ""
    return digest(
        _weights_hash(rows, month),
        [members.stored(name, month) for name in names],
        correlation_hash(state, Partition("", month)),
        state.context.settings.horizons,
        CODE_VERSIONS["portfolio"],
    )


def forecast_hash(state: State, partition: Partition, _model: Model | None = None) -> str:
    """Return the hash of a book's value at risk: its month and the stored months before, from which it goes on."""
    own = contribution_hash(state, partition)
    earlier = state.stored_hashes.before(CONTRIBUTIONS, partition, "")
    return digest(own, earlier, state.context.settings.risk_method, CODE_VERSIONS["portfolio"]) if own else ""


def backtest_hash(state: State, partition: Partition, _model: Model | None = None) -> str:
    """Return the hash of a book's record; empty where none of its forecasts is current."""
    current = current_months(state, partition.ticker)
    names = members_of(members_in(state).weights(partition.ticker))
    bars = [state.fingerprints(Partition(name)).features() for name in names]
    return digest(sorted(current.items()), bars, CODE_VERSIONS["portfolio_record"]) if current else ""


def current_months(state: State, name: str) -> dict[pd.Timestamp, str]:
    """Return month to hash of a book's stored forecasts that agree with today's settings, bars and forecasts."""
    found = {}
    for month in state.months(FORECASTS, name):
        place = Partition(name, month)
        stored = state.stored_hashes.hash(FORECASTS, place)
        if stored == forecast_hash(state, place):
            found[month] = stored
    return found


def no_members(state: State, partition: Partition, _model: Model | None = None) -> str:
    """Return that no ticker has forecasts of the month; empty where one has."""
    members, month = members_in(state), partition.refit_month
    if members.of(month):
        return ""
    name = members.model(next(iter(state.context.settings.tickers), ""), month)
    return f"no ticker has forecasts of {name} for {month:%Y-%m}: `volassets run` makes them"


def book_gap(state: State, partition: Partition, _model: Model | None = None) -> str:
    """Return why a book has nothing to compute for a month; empty where it has."""
    rows, members = members_in(state).weights(partition.ticker), members_in(state)
    if problem := portfolio_problem(state.context.settings, partition.ticker, rows):
        return problem
    month = partition.refit_month
    for name in members_of(rows):
        if not members.stored(name, month):
            return (
                f"{partition.ticker} holds {name}, which has no forecasts of {members.model(name, month)} for "
                f"{month:%Y-%m}: `volassets run --ticker '{name}'` makes those that are possible, and the setting "
                "portfolio_model may name a model that has them"
            )
    if rows["date"].min() >= month + pd.offsets.MonthBegin(1):
        return f"the weights of {partition.ticker} begin on {rows['date'].min():%Y-%m-%d}, after {month:%Y-%m}"
    return ""


def months_left_out(state: State, months: Iterable[pd.Timestamp]) -> list[str]:
    """Return a line per book that has no forecasts of some of the `months` it was asked for, with the first reason."""
    wanted, lines = sorted(set(months)), []
    for name in state.context.settings.portfolios:
        gaps = {month: gap for month in wanted if (gap := book_gap(state, Partition(name, month)))}
        if gaps and not portfolio_problem(state.context.settings, name, members_in(state).weights(name)):
            count = "one month" if len(gaps) == 1 else f"{len(gaps)} months"
            lines.append(f"{name}: {count} of {len(wanted)} left out, {span(gaps)}: {next(iter(gaps.values()))}")
    return lines


def no_record(state: State, partition: Partition, _model: Model | None = None) -> str:
    """Return that no forecast of a book is current; empty where one is."""
    if problem := portfolio_problem(
        state.context.settings, partition.ticker, members_in(state).weights(partition.ticker)
    ):
        return problem
    if current_months(state, partition.ticker):
        return ""
    return f"no current {FORECASTS} of {partition.ticker} is stored: materialize {FORECASTS} for it first"


def members_needed(state: State, partition: Partition, _model: Model | None = None) -> Iterator[Requirement]:
    """Yield what a book's month is computed from: the correlations; its members' stored forecasts are in its hash."""
    place = Partition("", partition.month)
    yield CORRELATIONS, place, "", correlation_hash(state, place)


def variances_needed(state: State, partition: Partition, _model: Model | None = None) -> Iterator[Requirement]:
    """Yield the book's own month, from which its value at risk is computed."""
    yield CONTRIBUTIONS, partition, "", contribution_hash(state, partition)


def load_correlations(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Rows]:
    """Return closes and one-session forecasts of every member, and per month who they are."""
    members = members_in(state)
    by_month = {place: members.of(place.refit_month) for place in partitions}
    tickers = sorted({name for listed in by_month.values() for name in listed})
    shared = _shared(state, tickers, partitions)
    shared[RESIDUALS] = shared[RESIDUALS][shared[RESIDUALS]["horizon"] == 1]
    found: dict[Partition, Rows] = {}
    for place, listed in by_month.items():
        models = [members.model(name, place.refit_month) for name in listed]
        hours = [_closes_at(state, name) for name in listed]
        found[place] = {**shared, MEMBERS: pd.DataFrame({"ticker": listed, "model": models, "closes_at": hours})}
    return found


def load_book_months(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Rows]:
    """Return weights, closes and forecasts of each book's members, and the month's correlations."""
    months = sorted({place.refit_month for place in partitions})
    fits = state.context.warehouse.read(CORRELATIONS, refit_month=[month.to_pydatetime() for month in months])
    stamps = pd.to_datetime(fits["refit_month"])
    found: dict[Partition, Rows] = {}
    for name, places in _by_name(partitions).items():
        given = members_in(state).weights(name)
        shared = {WEIGHTS: given, **_shared(state, members_of(given), places)}
        for place in places:
            found[place] = {**shared, CORRELATIONS: fits[(stamps == place.month).to_numpy()]}
    return found


def load_forecasts(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Rows]:
    """Return weights, closes and stored variances of each book, and the steering that its first month goes on from."""
    found: dict[Partition, Rows] = {}
    for name, places in _by_name(partitions).items():
        given = members_in(state).weights(name)
        rows = state.context.warehouse.read(VARIANCES, portfolio=name)
        for column in ("refit_month", "origin_date", "target_date"):
            rows[column] = pd.to_datetime(rows[column]).astype("datetime64[ns]")
        hashes = state.context.warehouse.query(_HASHES, {"name": name})
        hashes["refit_month"] = pd.to_datetime(hashes["refit_month"]).astype("datetime64[ns]")
        shared = {WEIGHTS: given, VARIANCES: rows, CLOSES: _closes(state, members_of(given))}
        asked = set(places)
        for place in places:
            months = [month for month in state.months(CONTRIBUTIONS, name) if month < place.refit_month]
            last = Partition(name, months[-1]) if months else None
            own: dict[str, pd.DataFrame] = {}
            if last is not None and last not in asked:
                stored = state.stored_hashes.hash(FORECASTS, last)
                if stored and stored == forecast_hash(state, last):
                    own = {STEERING: state.context.warehouse.read(STEERING, portfolio=name, refit_month=last.month)}
            right = hashes.loc[hashes["refit_month"] == place.month, ["data_hash"]]
            found[place] = {**shared, **own, CONTRIBUTIONS: right}
    return found


def load_record(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Rows]:
    """Return the current forecasts of each book, its weights, closes, members' forecasts and correlations."""
    found: dict[Partition, Rows] = {}
    for place in partitions:
        given, months = members_in(state).weights(place.ticker), list(current_months(state, place.ticker))
        rows = state.context.warehouse.read(FORECASTS, portfolio=place.ticker)
        rows = rows[pd.to_datetime(rows["refit_month"]).isin(months)]
        rows = rows.assign(origin_date=pd.to_datetime(rows["origin_date"]).astype("datetime64[ns]"))
        fits = state.context.warehouse.read(CORRELATIONS, refit_month=[month.to_pydatetime() for month in months])
        names = members_of(given)
        members = members_in(state).rows(names, max(months, default=_ANY_DAY))
        shared = {CLOSES: _closes(state, names), RESIDUALS: members, CORRELATIONS: fits}
        found[place] = {FORECASTS: rows, WEIGHTS: given, **shared}
    return found


def _shared(state: State, tickers: Sequence[str], partitions: Sequence[Partition]) -> dict[str, pd.DataFrame]:
    last = max(place.refit_month for place in partitions)
    return {CLOSES: _closes(state, tickers), RESIDUALS: members_in(state).rows(tickers, last)}


def _closes(state: State, tickers: Sequence[str]) -> pd.DataFrame:
    state.context.load_bars(tickers)
    parts = [state.context.bars(name)[["adj_close"]].reset_index().assign(ticker=name) for name in tickers]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["date", "adj_close", "ticker"])


def _closes_at(state: State, ticker: str) -> float:
    """Return when the ticker's exchange closes, in hours of a winter's day in UTC."""
    calendar = state.context.calendar(ticker)
    close = (_ANY_DAY + calendar.close).tz_localize(calendar.zone).tz_convert("UTC")
    return float((close.tz_localize(None) - _ANY_DAY) / pd.Timedelta(hours=1))


def _weights_hash(rows: pd.DataFrame, month: pd.Timestamp) -> str:
    """Return a hash of the weights that hold before the month's end; later ones change nothing in it."""
    known = rows[rows["date"] < month + pd.offsets.MonthBegin(1)]
    return digest([(f"{row.date:%Y-%m-%d}", row.ticker, row.weight) for row in known.itertuples()])


def _by_name(partitions: Sequence[Partition]) -> dict[str, list[Partition]]:
    found: dict[str, list[Partition]] = {}
    for place in partitions:
        found.setdefault(place.ticker, []).append(place)
    return found
