"""Everything a user may set: one file, `$VOLASSETS_HOME/volassets.toml`, and `VOLASSETS_<KEY>`.

A model's section holds the fields of its specification (`volassets.models`), so a new model brings
its own settings. The environment wins over the file, the file over the defaults.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from volassets.errors import InputError
from volassets.models.protocol import Model
from volassets.models.registry import MODELS
from volassets.names import Covariates, check_covariates, check_portfolio_name, check_ticker_name
from volassets.pool_defaults import DEFAULT_MODELS, IMPOSSIBLE, require_members, with_pool
from volassets.settings_sources import (
    FILE_NAME,
    HOME_VARIABLE,
    Source,
    TickerSource,
    read_environment,
    read_file,
    spec_fields,
)

BUNDLED_TICKERS = ("^GSPC", "^IXIC")
# Fields of `Settings` that are no keys.
INTERNAL = ("model_sections", "home")
UNKNOWN = "unknown setting {}: remove it or correct its name; `volassets.toml` lists every key."
RULES = {
    "int_type": "give a whole number",
    "float_type": "give a number",
    "bool_type": "give true or false",
    "tuple_type": "give a list",
}


class Settings(BaseModel):
    """The validated settings of one home, from `load_settings`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    tickers: tuple[str, ...] = Field(
        BUNDLED_TICKERS, description="Partitions of the graph; append only, the order is kept."
    )
    source: Source = Field("bundled", description="Where bars come from.")
    csv_dir: str = Field("", description="Directory with one CSV file per ticker, for source = csv.")
    closed: tuple[str, ...] = Field(
        (), description="Tickers that are traded no more: their history stays, no bars are asked for."
    )
    start_date: date = Field(date(1999, 1, 1), description="First bar to ask a download for.")
    start_month: str = Field("2004-01", description="First refit month, YYYY-MM.")
    minimum_history: int = Field(756, ge=300, description="Bars that a refit needs before its cut-off.")
    short_history: int = Field(90, ge=90, description="Bars that a forecast of the pooled models alone needs.")
    pool: tuple[str, ...] = Field((), description="Tickers that pooled models are fitted on; empty: all with history.")
    pooled_from: int = Field(
        4, ge=0, description="Tickers from which the default models and members have the pooled ones; 0 for never."
    )
    models: tuple[str, ...] = Field(DEFAULT_MODELS, description=f"Models to fit and compare, of {', '.join(MODELS)}.")
    horizons: tuple[int, ...] = Field((1, 5, 22), description="Forecast horizons in sessions.")
    proxy: Literal["gk_overnight", "squared_return", "realized"] = Field(
        "gk_overnight",
        description="Variance proxy; squared_return accepts close-only bars, realized takes a file's own measure.",
    )
    realized_unit: Literal["daily_variance", "annualised_volatility"] = Field(
        "daily_variance", description="What the column realized_variance of a file holds, decimal."
    )
    lags: tuple[int, ...] = Field(
        (1, 2, 6, 11, 16), description="Return lags among the features, and the list lag_analysis judges."
    )
    correlation_threshold: float = Field(
        0.95, gt=0, le=1, description="Above it the later feature of a pair is dropped."
    )
    scaling: Literal["standardize", "minmax"] = Field("standardize", description="Scaler of the selected features.")
    covariates: Covariates = Field(
        (),
        description='Other series as inputs (docs/covariates.md): ["^VIX"] for all tickers, or {"^GSPC" = ["^VIX"]}.',
    )
    interval_level: float = Field(0.90, gt=0.5, lt=1, description="Nominal coverage of the forecast intervals.")
    risk_levels: tuple[Annotated[float, Field(gt=0, le=0.25)], ...] = Field(
        (0.01, 0.025, 0.05), min_length=1, description="Levels of value at risk, as shares: 0.01 is 1 %."
    )
    risk_tails: tuple[Literal["lower", "upper"], ...] = Field(
        ("lower",), min_length=1, description="Tails: lower for holdings, upper for short positions."
    )
    risk_method: Literal["evt_conformal", "historical", "student_t"] = Field(
        "evt_conformal", description="How value at risk is made from the forecasts (docs/risk.md)."
    )
    target_volatility: float = Field(
        0.10, gt=0, le=1, description="Annualised target of the volatility-target backtest."
    )
    max_leverage: float = Field(2.0, gt=0, le=10, description="Cap on the backtest's weight.")
    transaction_cost_bps: float = Field(5.0, ge=0, le=1000, description="Cost per unit of turnover, basis points.")
    slippage_bps: float = Field(1.0, ge=0, le=1000, description="Slippage per unit of turnover, basis points.")
    importance: Literal["never", "yearly", "monthly"] = Field(
        "yearly", description="Refits with permutation importance: none, each January's, or all."
    )
    refit_schedule: str = Field("0 6 1 * *", description="Cron of monthly_refit.")
    update_schedule: str = Field("0 22 * * 1-5", description="Cron of daily_update.")
    timezone: str = Field(
        "America/New_York", description="Time zone of the schedules; tickers of other exchanges have their own's."
    )
    notify: str = Field(
        "", description="URL or command that gets what went wrong in a run (docs/dagster.md); empty for none."
    )
    webhook: str = Field("", description="Older name of notify, for a URL.")
    calendars: dict[str, str] = Field(
        default_factory=dict, description="Exchange calendar per ticker, overriding the guess."
    )
    warehouse: str = Field(
        "duckdb",
        description="duckdb, or parquet:URL for one file per cell on a shared directory or object store.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where networks train.")
    jobs: int = Field(0, ge=0, le=1024, description="Worker processes; 0 takes every core.")
    reports: Literal["auto", "always", "never"] = Field(
        "auto", description="HTML pages that a run writes: those of up to 12 tickers, all, none."
    )
    tickers_per_run: int = Field(
        0, ge=0, le=100_000, description="Tickers in one scheduled run, to share it among machines; 0 for all."
    )
    follow_interval: int = Field(
        30, ge=1, le=3600, description="Seconds after which the daemon looks again for forecasts to compare."
    )
    backup_schedule: str = Field("", description="Cron of backups into backups/ below the home; empty for none.")
    backups_kept: int = Field(7, ge=1, le=10_000, description="Backups there that stay; older ones are removed.")
    sources: dict[str, TickerSource] = Field(
        default_factory=dict,
        description="Where the bars of this ticker come from (source, csv_dir); `run` and `tickers add` write it.",
        exclude=True,
    )
    portfolio_model: str = Field(
        "auto",
        description="Model whose forecasts portfolios are made from: a name, best (lowest QLIKE of outcomes known "
        "before each month) or auto (combination where it is fitted, else log_har_leverage).",
    )
    portfolios: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description='Weights of a portfolio by ticker: "TICKER" = share of its value; `portfolios add` writes it.',
        exclude=True,
    )
    model_sections: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False, exclude=True)
    home: Path = Field(Path("data"), exclude=True)

    @field_validator("tickers", "closed", "pool", "models", "risk_levels", "risk_tails")
    @classmethod
    def _unique(cls, value: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        repeated = [entry for entry in value if value.count(entry) > 1]
        if repeated:
            raise ValueError(f"{info.field_name} names {repeated[0]!r} twice")
        return value

    @field_validator("tickers", "closed", "pool")
    @classmethod
    def _tickers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_ticker_name, value))

    @field_validator("models")
    @classmethod
    def _models(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not set(value) <= set(MODELS):
            wrong = [f"unknown model {name!r}" for name in value if name not in MODELS] or ["name at least one"]
            raise ValueError(f"{wrong[0]}; choose from {', '.join(MODELS)}")
        return value

    @field_validator("covariates")
    @classmethod
    def _covariates(cls, value: Covariates) -> Covariates:
        return check_covariates(value)

    @field_validator("portfolio_model")
    @classmethod
    def _portfolio_model(cls, value: str) -> str:
        if value not in ("auto", "best", *MODELS):
            raise ValueError(f"choose auto, best or one of {', '.join(MODELS)}")
        return value

    @field_validator("horizons", "lags")
    @classmethod
    def _positive_sorted(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or any(not 1 <= number <= 252 for number in value) or list(value) != sorted(set(value)):
            raise ValueError("give increasing whole numbers from 1 to 252")
        return value

    @field_validator("horizons")
    @classmethod
    def _one_session(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if 1 not in value:
            raise ValueError("1 must be among them: strategies and value at risk are about the next session")
        return value

    @field_validator("start_month")
    @classmethod
    def _month(cls, value: str) -> str:
        if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", value):
            raise ValueError("write a month as YYYY-MM")
        return value

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, value: str) -> str:
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("give an IANA name such as Europe/Zurich") from None
        return value

    @field_validator("refit_schedule", "update_schedule", "backup_schedule")
    @classmethod
    def _cron(cls, value: str, info: ValidationInfo) -> str:
        from croniter import CroniterError, croniter

        try:
            # The next tick, because 31 February has the right form.
            if (not value and info.field_name == "backup_schedule") or (
                len(value.split()) == 5 and croniter(value, 0).get_next()
            ):
                return value
        except CroniterError:
            pass
        raise ValueError("give the five fields of a cron line, such as 0 6 1 * *")

    @field_validator("warehouse")
    @classmethod
    def _warehouse(cls, value: str) -> str:
        if value != "duckdb" and not re.fullmatch("parquet:.+", value):
            raise ValueError("give duckdb or parquet:URL")
        return value

    @model_validator(mode="after")
    def _portfolios(self) -> Settings:
        for name in self.portfolios:
            check_portfolio_name(name, self.tickers)
        return self

    @model_validator(mode="after")
    def _sections(self) -> Settings:
        for name in self.model_sections:
            if name not in MODELS:
                raise ValueError(f"unknown section [{name}]; models are {', '.join(MODELS)}")
        return self

    def model(self, name: str) -> Model:
        """Return model `name` as its section sets it; InputError if the name or a value is impossible."""
        if name not in MODELS:
            raise InputError(f"unknown model {name!r}: choose from {', '.join(MODELS)}.")
        section = self.model_sections.get(name, {})
        if "device" in spec_fields(MODELS[name]):
            section = {"device": self.device, **section}
        for key, value in section.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(IMPOSSIBLE.format(f"[{name}] {key}", value, "give a finite number"))
        try:
            # As JSON, because there a list is a tuple and nothing else is converted.
            return TypeAdapter(MODELS[name]).validate_json(json.dumps(section, default=str), strict=True)
        except ValidationError as error:
            raise InputError(_first_error(error, f"[{name}] ")) from None

    def source_of(self, ticker: str) -> TickerSource:
        """Return where the bars of `ticker` come from, `csv_dir` as a whole path."""
        own = self.sources.get(ticker) or TickerSource(source=self.source)
        folder = own.csv_dir or self.csv_dir if own.source == "csv" else ""
        place = folder and str(Path(folder).expanduser().resolve())
        return TickerSource(source=own.source, csv_dir=place, symbol=own.symbol)

    def symbol_of(self, ticker: str) -> str:
        """Return what the source of `ticker` calls it: its own name, or the one that it was renamed to."""
        return self.source_of(ticker).symbol or ticker

    def covariates_of(self, ticker: str) -> tuple[str, ...]:
        """Return the names of the series that are inputs of `ticker` beside its own bars."""
        named = self.covariates.get(ticker, ()) if isinstance(self.covariates, dict) else self.covariates
        return tuple(name for name in named if name != ticker)

    def for_ticker(self, ticker: str) -> Settings:
        """Return the settings with the source of `ticker` as theirs."""
        known = self.source_of(ticker)
        return self.model_copy(update={"source": known.source, "csv_dir": known.csv_dir})

    @cached_property
    def chosen_models(self) -> dict[str, Model]:
        """The models to fit, by name, in the registry's order."""
        return {name: self.model(name) for name in MODELS if name in self.models}

    @property
    def workers(self) -> int:
        """Worker processes to use."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return self.jobs or cores or 1

    @property
    def files(self) -> str:
        """Where checkpoints lie: the home, or the URL of the cells, so that every machine finds them."""
        return self.warehouse.removeprefix("parquet:") if self.warehouse != "duckdb" else str(self.home)

    @property
    def database(self) -> Path:
        """Path of the DuckDB file."""
        return self.home / "volassets.duckdb"


def home_directory() -> Path:
    """Return `$VOLASSETS_HOME`, or `./data`."""
    return Path(os.environ.get(HOME_VARIABLE) or "data").expanduser().resolve()


def load_settings(
    home: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Read, merge and validate the settings of `home`, or of `$VOLASSETS_HOME`; nothing is written.

    `overrides` are top-level keys that win over everything, as the command line's options do; a source that they or
    the environment give is that of every ticker.

    Raises
    ------
    InputError
        Unreadable file, unknown key, wrong type or impossible value, with the key named.
    """
    home = home or home_directory()
    values = read_file(home / FILE_NAME)
    sections = {
        name: values.pop(name)
        for name in list(values)
        if isinstance(values[name], dict) and name not in Settings.model_fields
    }
    given = read_environment(environment, sections, _keys()) | dict(overrides or {})
    values.update(given)
    source = {key: given[key] for key in ("source", "csv_dir") if key in given}
    if source and isinstance(values.get("sources"), dict) and "sources" not in given:
        values["sources"] = {
            name: {**own, **source} if isinstance(own, dict) else own for name, own in values["sources"].items()
        }
    for key in INTERNAL:
        if key in values:
            raise InputError(UNKNOWN.format(key))
    return validated(values, sections, home)


def validated(values: Mapping[str, Any], sections: Mapping[str, Any], home: Path) -> Settings:
    """Return the settings of top-level keys and models' sections; InputError with the key that is wrong."""
    whole = {**values, "model_sections": sections, "home": str(home)}
    try:
        settings = Settings.model_validate_json(json.dumps(whole, default=str), strict=True)
    except ValidationError as error:
        raise InputError(_first_error(error, "")) from None
    settings = with_pool(settings)
    for name in MODELS:
        require_members(settings, settings.model(name))
    return settings


def _keys() -> dict[str, Any]:
    return {key: field for key, field in Settings.model_fields.items() if key not in INTERNAL}


def _first_error(error: ValidationError, where: str) -> str:
    detail = error.errors()[0]
    parts = [str(part) for part in detail["loc"] if part not in ("function-after", "model_sections")]
    key = ".".join(parts) or "settings"
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return UNKNOWN.format(f"{where}{key}")
    rule = RULES.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    return IMPOSSIBLE.format(f"{where}{key}", detail["input"], rule)
