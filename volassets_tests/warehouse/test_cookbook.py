"""Every query of docs/sql.md on every back end, its answer checked; and the page itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from volassets.settings import Settings
from volassets.warehouse import sql_docs
from volassets.warehouse.store import Replacement, Upsert, Warehouse, open_warehouse
from volassets_tests.warehouse.conftest import BACK_ENDS
from volassets_tests.warehouse.frames import cells, fit_rows, write_features

PAGE = Path(sql_docs.__file__).parents[2] / "docs" / "sql.md"
HEAD = PAGE.read_text("utf-8").split(sql_docs.START)[0]
COOKBOOK = re.findall(r"```sql\n(.+?)\n```", HEAD.split("\n## Cookbook\n")[1], re.DOTALL)
MONTHS = ("2016-02-01", "2016-03-01")


def month_of_forecasts(bars: pd.DataFrame, month: str, model: str, variance: float) -> pd.DataFrame:
    """Return one-session forecasts for every session of `month`, with the interval 5 % to 40 %."""
    in_month = bars.index[bars.index.strftime("%Y-%m-01") == month]
    first = bars.index.get_indexer(in_month)
    return pd.DataFrame(
        {
            "ticker": "^GSPC",
            "refit_month": pd.Timestamp(month),
            "model": model,
            "origin_date": bars.index[first - 1],
            "target_date": in_month,
            "horizon": 1,
            "variance": variance,
            "volatility": (252 * variance) ** 0.5,
            "lower": 0.05,
            "upper": 0.40,
            "data_hash": "h",
        }
    )


def replacements(bars: pd.DataFrame) -> list[Replacement | Upsert]:
    """Return two months with answers that are known."""
    tables: dict[str, list[pd.DataFrame]] = {"garch_forecasts": [], "lstm_forecasts": [], "combined_forecasts": []}
    for month in MONTHS:
        tables["garch_forecasts"].append(month_of_forecasts(bars, month, "gjr", 1e-4))
        # Absurdly high in February, the same as gjr but for a hair in March: lstm loses February only.
        high = month == MONTHS[0]
        tables["lstm_forecasts"].append(month_of_forecasts(bars, month, "lstm", 1.0 if high else 0.999e-4))
    tables["combined_forecasts"].append(month_of_forecasts(bars, MONTHS[1], "combination", 0.8e-4))
    selected = pd.DataFrame(
        {
            "ticker": "^GSPC",
            "refit_month": pd.to_datetime(["2016-02-01", "2016-02-01", "2016-03-01", "2016-03-01"]),
            "feature": ["log_proxy", "rsi", "log_proxy", "rsi"],
            "selected": [True, True, True, False],
            "reason": ["kept", "kept", "kept", "correlated"],
            "correlated_with": [None, None, None, "log_proxy"],
            "abs_correlation": [None, None, None, 0.9712],
        }
    )
    model_fits = [
        fit_rows(month=MONTHS[0]).assign(parameters=[{"persistence": 0.97, "half_life": 22.8}], seconds=2.0),
        fit_rows(month=MONTHS[1]).assign(
            parameters=[{"persistence": 0.98, "half_life": None}], converged=False, message="kept the GARCH start"
        ),
    ]
    board = pd.DataFrame(
        {
            "ticker": "^GSPC",
            "model": ["gjr", "lstm"],
            "horizon": 1,
            "n": 40,
            "qlike": [0.4, 0.36],
            "qlike_vs_gjr": [0.0, -0.1],
            "dm_vs_gjr": [0.0, -2.5],
            "dm_p": [1.0, 0.0125],
            "mcs_p": [0.02, 1.0],
        }
    )
    risk = pd.DataFrame(
        {
            "ticker": "^GSPC",
            "refit_month": pd.Timestamp(MONTHS[1]),
            "model": "gjr",
            "horizon": 1,
            "level": [0.01, 0.05, 0.01],
            "tail": "lower",
            "origin_date": pd.to_datetime(["2016-03-29", "2016-03-30", "2016-03-30"]),
            "target_date": pd.to_datetime(["2016-03-30", "2016-03-31", "2016-03-31"]),
            "value_at_risk": [0.1, -0.01, -0.02],
            "expected_shortfall": [0.1, -0.015, -0.03],
            "method": "evt_conformal",
            "data_hash": "h",
        }
    )
    tested = {"ticker": "^GSPC", "horizon": 1, "level": 0.01, "tail": "lower", "n": 300, "violations": 3}
    passed = {"violation_rate": 0.01, "kupiec_p": 1.0, "christoffersen_p": 0.8, "traffic_light": "green"}
    record = pd.DataFrame([{**tested, **passed, "model": m, "fz_loss": x} for m, x in (("gjr", -3.0), ("lstm", -3.2))])
    revised = {"ticker": "^GSPC", "date": pd.Timestamp("2016-02-03"), "column": "close", "old": 100.0, "new": 102.5}
    written = {**{name: pd.concat(frames) for name, frames in tables.items()}, "garch_fits": pd.concat(model_fits)}
    monthly = [Replacement(name, frame, cells(frame)) for name, frame in written.items()]
    day = {"ticker": "^GSPC", "model": "gjr", "horizon": 1, "origin_date": pd.Timestamp("2016-03-10")}
    said = {"target_date": pd.Timestamp("2016-03-11"), "issued_at": pd.Timestamp("2016-03-11 03:00")}
    said |= {"code_version": "0.2.0", "bars_hash": "h"}
    issued = pd.DataFrame([{**day, **said, "variance": 1.25e-4, "volatility": (252 * 1.25e-4) ** 0.5}])
    limits = {"level": 0.01, "tail": "lower", "value_at_risk": 0.0, "expected_shortfall": -0.01, "method": "historical"}
    book = {"portfolio": "core", "refit_month": pd.Timestamp(MONTHS[1]), "horizon": 1, "data_hash": "h"}
    when = {"origin_date": pd.Timestamp("2016-03-30"), "target_date": pd.Timestamp("2016-03-31")}
    values = {"variance": 1e-4, "volatility": 0.159, "value_at_risk_01": -0.021, "expected_shortfall_01": -0.03}
    values |= {"value_at_risk_05": -0.01, "expected_shortfall_05": -0.02, "sigma_assets": 0.01, "sigma_own": 0.01}
    of_book = pd.DataFrame([{**book, **when, **values, "lower": 0.05, "upper": 0.4, "method": "evt_conformal"}])
    parts = (("^GSPC", 0.6, 0.75), ("^IXIC", 0.4, 0.25))
    shares = pd.DataFrame(
        [
            {**book, "origin_date": day, "ticker": ticker, "weight": w, "volatility_share": share, "var_share": share}
            for day in (pd.Timestamp("2016-03-29"), when["origin_date"])
            for ticker, w, share in parts
        ]
    )
    empty = dict.fromkeys(("models", "days", "filled", "scale", "long_run"), "[]")
    fits = pd.DataFrame(
        [
            {**empty, "refit_month": pd.Timestamp(month), "a": 0.02, "b": 0.95, "n": 2, "data_hash": "h"}
            | {"members": '["^GSPC", "^IXIC"]', "q": f"[1.0, {q}, 1.0]", "lead_lag": "null"}
            for month, q in (("2015-03-01", 0.5), (MONTHS[1], 0.75))
        ]
    )
    held = {"portfolio": "core", "horizon": 1, "level": 0.01, "n": 300, "violations": 3, "data_hash": "h"}
    held |= {"kupiec_p": 1.0, "christoffersen_p": 0.01, "bias": 1.004, "mahalanobis_ratio": 0.98}
    return [
        *monthly,
        Replacement("portfolio_forecasts", of_book, cells(of_book, "portfolio", "refit_month")),
        Replacement("risk_contributions", shares, cells(shares, "portfolio", "refit_month")),
        Replacement("correlation_fits", fits, cells(fits, "refit_month")),
        Replacement("portfolio_backtests", pd.DataFrame([held]), pd.DataFrame({"portfolio": ["core"]})),
        Upsert("issued_forecasts", issued.assign(lower=0.05, upper=0.4, sessions_per_year=252)),
        Upsert("issued_risk", pd.DataFrame([{**day, **said, **limits}])),
        Replacement("selected_features", selected, cells(selected, "ticker", "refit_month")),
        Replacement("leaderboard", board, cells(board, "ticker")),
        Replacement("risk_forecasts", risk, cells(risk)),
        Replacement("risk_backtests", record, cells(record, "ticker")),
        Upsert("price_revisions", pd.DataFrame([{**revised, "seen_at": pd.Timestamp("2016-04-01 06:00")}])),
    ]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, sp500_bars: pd.DataFrame) -> dict[str, Warehouse]:
    """The filled store on each back end."""
    found = {}
    bars = sp500_bars["2015-10":"2016-04-01"]
    for kind in BACK_ENDS:
        home = tmp_path_factory.mktemp("cookbook")
        place = {"duckdb": "duckdb", "parquet": f"parquet:{home / 'cells'}", "memory": f"parquet:memory://{home}"}
        settings = Settings(home=home, warehouse=place[kind])
        found[kind] = open_warehouse(settings)
        write_features(found[kind], settings, "^GSPC", bars)
        found[kind].write(*replacements(bars["2015-10":"2016-03-31"]))
    return found


def the_forecast(rows: pd.DataFrame) -> None:
    assert rows["ticker"].tolist() == ["^GSPC"]
    assert rows["origin_date"].tolist() == [pd.Timestamp("2016-03-30")]
    assert rows["volatility_percent"].tolist() == [14.2]
    assert rows["upper_percent"].tolist() == [40.0]


def the_best(rows: pd.DataFrame) -> None:
    assert rows["model"].tolist() == ["lstm", "gjr"]
    assert rows["percent_vs_gjr"].tolist() == [-10.0, 0.0]
    assert rows["in_confidence_set"].tolist() == [True, False]


def the_lost_months(rows: pd.DataFrame) -> None:
    assert rows["month"].tolist() == [pd.Timestamp("2016-02-01")]
    assert rows["days"].tolist() == [20]
    assert (rows["lstm_qlike"] > rows["gjr_qlike"]).all()


def the_known(rows: pd.DataFrame) -> None:
    assert rows["model"].tolist() == ["combination", "gjr", "lstm"]
    assert set(rows["last_close_seen"]) == {pd.Timestamp("2016-03-10")}
    assert set(rows["target_date"]) == {pd.Timestamp("2016-03-11")}
    assert rows["train_end"][1] == pd.Timestamp("2016-02-29")


def the_dropped(rows: pd.DataFrame) -> None:
    assert rows.to_numpy().tolist() == [["rsi", "correlated", "log_proxy", 0.971]]


def the_kept(rows: pd.DataFrame) -> None:
    assert rows.to_numpy().tolist() == [["log_proxy", 2, 1.0], ["rsi", 2, 0.5]]


def the_unconverged(rows: pd.DataFrame) -> None:
    assert rows[["refit_month", "message"]].to_numpy().tolist() == [
        [pd.Timestamp("2016-03-01"), "kept the GARCH start"]
    ]


def the_coverage(rows: pd.DataFrame) -> None:
    assert rows[["model", "year", "n"]].to_numpy().tolist() == [
        ["combination", 2016, 22],
        ["gjr", 2016, 42],
        ["lstm", 2016, 42],
    ]
    assert rows["coverage"].between(0.5, 1.0).all()
    assert rows["coverage"][1] == rows["coverage"][2]


def the_parameters(rows: pd.DataFrame) -> None:
    assert rows["persistence"].tolist() == [0.97, 0.98]
    assert rows["half_life"].isna().tolist() == [False, True]


def the_risk(rows: pd.DataFrame) -> None:
    assert rows[["ticker", "model", "percent", "shortfall_percent"]].to_numpy().tolist() == [
        ["^GSPC", "gjr", -2.0, -3.0]
    ]


def the_broken(rows: pd.DataFrame) -> None:
    assert rows["target_date"].tolist() == [pd.Timestamp("2016-03-30")]
    assert rows["beyond_percent"].tolist() == [round(rows["return_percent"][0] - 10, 2)]


def the_risk_models(rows: pd.DataFrame) -> None:
    assert rows["model"].tolist() == ["lstm", "gjr"]
    assert rows["passes"].all()


def the_portfolios(rows: pd.DataFrame) -> None:
    columns = ["portfolio", "volatility_percent", "value_at_risk_percent", "shortfall_percent"]
    assert rows[columns].to_numpy().tolist() == [["core", 15.9, -2.1, -3.0]]


def the_contributors(rows: pd.DataFrame) -> None:
    assert rows.to_numpy().tolist() == [["core", "^GSPC", 0.6, 75.0], ["core", "^IXIC", 0.4, 25.0]]


def the_pairs(rows: pd.DataFrame) -> None:
    assert rows.to_numpy().tolist() == [["^GSPC", "^IXIC", 0.75, 0.25]]


def the_record_of_portfolios(rows: pd.DataFrame) -> None:
    assert rows["passes"].tolist() == [False], "violations in a row"
    assert rows[["bias", "mahalanobis"]].to_numpy().tolist() == [[1.0, 0.98]]


def the_revised(rows: pd.DataFrame) -> None:
    assert rows["percent"].tolist() == [2.5]


def the_issued(rows: pd.DataFrame) -> None:
    assert rows["percent_apart"].tolist() == [-20.0]
    assert rows["issued_percent"].tolist() == [17.7]
    assert rows["realized_percent"].notna().all()


def the_record_of_the_issued(rows: pd.DataFrame) -> None:
    assert rows[["model", "n"]].to_numpy().tolist() == [["gjr", 1]]
    # The S&P 500 rose on the 11th: an issued value at risk of 0 held.
    assert rows["violations"].tolist() == [0]
    assert rows["largest_difference"].isna().all()


def the_missing(rows: pd.DataFrame) -> None:
    assert rows.to_numpy().tolist() == [["^GSPC", pd.Timestamp("2016-02-01"), "combination"]]


def the_cost(rows: pd.DataFrame) -> None:
    assert rows["model"].tolist() == ["gjr"]
    assert rows["mean_seconds"].round(1).tolist() == [1.1]
    assert rows["longest"].tolist() == [2.0]


ANSWERS: tuple[Callable[[pd.DataFrame], None], ...] = (
    the_forecast,
    the_best,
    the_lost_months,
    the_known,
    the_dropped,
    the_kept,
    the_unconverged,
    the_coverage,
    the_parameters,
    the_risk,
    the_broken,
    the_risk_models,
    the_portfolios,
    the_contributors,
    the_pairs,
    the_record_of_portfolios,
    the_revised,
    the_issued,
    the_record_of_the_issued,
    the_missing,
    the_cost,
)


@pytest.mark.parametrize("kind", BACK_ENDS)
@pytest.mark.parametrize("number", range(len(COOKBOOK)))
def test_a_question_has_its_answer(stores: dict[str, Warehouse], kind: str, number: int) -> None:
    ANSWERS[number](stores[kind].query(COOKBOOK[number]))


def test_every_question_is_checked() -> None:
    assert len(ANSWERS) == len(COOKBOOK) == 21


def test_every_query_answers_an_empty_store(warehouse: Warehouse) -> None:
    for sql in COOKBOOK:
        assert warehouse.query(sql).empty


def test_the_page_is_generated_from_the_declarations(tmp_path: Path) -> None:
    assert PAGE.read_text(encoding="utf-8") == HEAD + sql_docs.reference(Settings(home=tmp_path))


def test_every_relation_and_column_is_on_the_page(warehouse: Warehouse) -> None:
    text = sql_docs.reference(Settings())
    for relation in warehouse.schema.relations.values():
        section = text.split(f"\n### {relation.name}\n")[1].split("\n### ")[0]
        assert relation.comment in section
        assert all(f"| `{name}` |" in section for name in relation.column_names)


WRITER = """
import sys
from pathlib import Path
from volassets.settings import Settings
from volassets_tests.warehouse.test_stress import write_cell
from volassets.warehouse.store import open_warehouse
warehouse, version = open_warehouse(Settings(home=Path(sys.argv[1]))), 0
while not Path(sys.argv[1], "stop").exists():
    write_cell(warehouse, 0, version % 12, version)
    version += 1
    if version == 1:
        print("writing", flush=True)
print(version)
"""


@pytest.mark.slow
def test_the_pages_client_gets_every_answer_while_a_run_writes(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(import time\n.+?)\n```", HEAD, re.DOTALL)
    client: dict[str, Any] = {}
    exec(code, client)
    waits: list[float] = []
    client["time"] = SimpleNamespace(sleep=lambda seconds: (waits.append(seconds), time.sleep(seconds)))
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
            file = Settings(home=tmp_path).database
            rows = [client["ask"]("SELECT count(*) AS n FROM garch_forecasts", file)["n"][0] for _ in range(126)]
        finally:
            (tmp_path / "stop").touch()
        written = int(writer.stdout.readline())
    assert writer.returncode == 0
    assert written > 12
    assert rows == sorted(rows)
    assert rows[-1] > 0
    # Else nothing was in its way, and this shows nothing.
    assert waits
