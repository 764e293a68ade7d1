"""A home with a real run of a few cheap models, and the rows that only slow models or an audit would write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volassets.settings import Settings, load_settings
from volassets.settings_sources import HOME_VARIABLE
from volassets.warehouse.store import Replacement, Warehouse, open_warehouse

TICKER = "^GSPC"
MODELS = ("naive", "ewma", "gjr", "har", "log_har")
FILE = f"models = {list(MODELS)!r}\njobs = 1\n".replace("'", '"')


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after `volassets run` over three months, without networks and without an audit."""
    from volassets.commands.run import run_command

    place = tmp_path_factory.mktemp("report_home")
    (place / "volassets.toml").write_text(FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(place))
        assert run_command([TICKER], "2018-10", "2018-12", {}, None, force=False) == 0
    return place


@pytest.fixture(scope="session")
def settings(home: Path) -> Settings:
    """The settings of `home`."""
    return load_settings(home)


@pytest.fixture(scope="session")
def store(settings: Settings) -> Warehouse:
    """The warehouse of `home`."""
    return open_warehouse(settings)


@pytest.fixture(scope="session")
def full_store(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """A copy of `home` with training histories, attention, importance and an audit."""
    place = tmp_path_factory.mktemp("full_home")
    (place / "volassets.toml").write_text(FILE)
    (place / "volassets.duckdb").write_bytes((home / "volassets.duckdb").read_bytes())
    store = open_warehouse(load_settings(place))
    for table, frame in networks().items():
        cells = frame[["ticker", "refit_month", "model"]].drop_duplicates()
        store.write(Replacement(table, frame, cells))
    store.write(Replacement("audit_results", audit(), pd.DataFrame({"ticker": [TICKER]})))
    return store


def networks() -> dict[str, pd.DataFrame]:
    """Return rows as two networks would leave them: one validated with its best epoch at 6, one not."""
    month, rng = pd.Timestamp("2018-12-01"), np.random.default_rng(0)
    names = {"ticker": TICKER, "refit_month": month, "data_hash": "0"}
    history, attention, importance = [], [], []
    for model in ("lstm", "transformer"):
        for seed in range(3):
            for epoch in range(1, 11):
                row = {**names, "model": model, "seed": seed, "epoch": epoch, "learning_rate": 1e-3}
                row["train_loss"] = 0.2 + 0.1 / epoch + 0.001 * seed
                row["validation_loss"] = 0.25 + 0.001 * (epoch - 6) ** 2 if model == "lstm" else float("nan")
                history.append(row)
        weights = rng.dirichlet(np.ones(22))
        attention += [{**names, "model": model, "lag_days": lag, "weight": w} for lag, w in enumerate(weights)]
        importance += [
            {**names, "model": model, "feature": f"input_{i}", "delta_qlike": 0.05 / (i + 1), "std_error": 0.004}
            for i in range(20)
        ]
    return {
        "training_history": pd.DataFrame(history),
        "attention": pd.DataFrame(attention),
        "feature_importance": pd.DataFrame(importance),
    }


def audit(passed: bool = True) -> pd.DataFrame:
    """Return the rows of an audit with one cut and two replacements."""
    rows = [
        {
            "ticker": TICKER,
            "cut_date": pd.Timestamp("2018-10-15"),
            "replacement": replacement,
            "stage": stage,
            "rule": "unchanged up to the cut",
            "rows": 1000,
            "columns": 5,
            "months": 3,
            "changed_rows": 0 if passed else 1,
            "passed": passed,
            "detail": "" if passed else "value <b>1</b> became 2",
        }
        for replacement in ("noise", "constant")
        for stage in ("features", "forecasts")
    ]
    return pd.DataFrame(rows)
