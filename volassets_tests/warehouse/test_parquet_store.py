"""What only the Parquet back end has: files, their names, and moving between back ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from volassets.errors import InputError
from volassets.settings import Settings
from volassets.warehouse.cell_files import encoded
from volassets.warehouse.store import Replacement, StoreError, Upsert, Warehouse, open_warehouse
from volassets.warehouse.transfer import convert
from volassets_tests.warehouse.frames import cells, fit_rows, forecast_rows, price_rows, write_features

FILLED = ("raw_prices", "price_revisions", "realized_vol_features", "garch_fits", "garch_forecasts", "panel_verdicts")


def fill(warehouse: Warehouse, settings: Settings, bars: pd.DataFrame) -> None:
    """Write something into tables of every kind of cell."""
    for ticker in ("^GSPC", "EURUSD=X"):
        warehouse.write(Upsert("raw_prices", price_rows(ticker)))
        write_features(warehouse, settings, ticker, bars["2015-01":"2015-06"])
        for month in ("2016-01-01", "2016-02-01"):
            fit, forecasts = fit_rows(ticker, month), forecast_rows(ticker, month)
            warehouse.write(
                Replacement("garch_fits", fit, cells(fit)), Replacement("garch_forecasts", forecasts, cells(forecasts))
            )
    seen = {"ticker": "A", "date": pd.Timestamp("2016-01-04"), "column": "close", "old": 1.0, "new": 2.0}
    seen_then = pd.DataFrame([{**seen, "seen_at": pd.Timestamp("2016-02-01 10:00:00.123456")}])
    warehouse.write(Upsert("price_revisions", seen_then))
    warehouse.write(Replacement("panel_verdicts", pd.DataFrame({"position": [1], "text": ["har beats gjr."]})))


def same_rows(one: Warehouse, other: Warehouse) -> None:
    """Require that two stores answer alike."""
    for name in (*FILLED, "forecasts", "realized", "forecast_losses"):
        assert_frame_equal(one.read(name), other.read(name), obj=name)


@pytest.mark.parametrize(
    ("source_kind", "destination_kind"),
    [("duckdb", "parquet"), ("parquet", "duckdb"), ("duckdb", "memory"), ("memory", "duckdb")],
)
def test_convert_moves_every_row(
    settings_for: Callable[..., Settings],
    tmp_path: Path,
    sp500_bars: pd.DataFrame,
    source_kind: str,
    destination_kind: str,
) -> None:
    settings = settings_for(source_kind, home=tmp_path / "one")
    source = open_warehouse(settings)
    destination = open_warehouse(settings_for(destination_kind, home=tmp_path / "two"))
    fill(source, settings, sp500_bars)
    counts = convert(source, destination)
    assert {name for name, count in counts.items() if count} == set(FILLED)
    assert counts["garch_fits"] == 4
    assert counts["price_revisions"] == counts["panel_verdicts"] == 1
    same_rows(source, destination)
    with pytest.raises(StoreError, match="already has rows"):
        convert(source, destination)


@pytest.mark.parametrize("kind", ["parquet", "memory"])
def test_backup_and_restore(
    settings_for: Callable[..., Settings], tmp_path: Path, sp500_bars: pd.DataFrame, kind: str
) -> None:
    settings = settings_for(kind)
    warehouse = open_warehouse(settings)
    with pytest.raises(StoreError, match="nothing to back up"):
        warehouse.backup(tmp_path / "b.duckdb")
    fill(warehouse, settings, sp500_bars)
    warehouse.backup(tmp_path / "b.duckdb")
    warehouse.write(Replacement("garch_fits", fit_rows("new"), cells(fit_rows("new"))))
    warehouse.write(Replacement("garch_fits", fit_rows(data_hash="h2"), cells(fit_rows())))
    warehouse.restore(tmp_path / "b.duckdb")
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["b.duckdb"]
    embedded = open_warehouse(settings_for("duckdb", home=tmp_path / "embedded"))
    embedded.restore(tmp_path / "b.duckdb")
    same_rows(warehouse, embedded)
    (tmp_path / "text").write_text("no database")
    with pytest.raises(StoreError):
        warehouse.restore(tmp_path / "text")
    same_rows(warehouse, embedded)


def test_one_file_per_cell_and_nothing_else(settings_for: Callable[..., Settings], sp500_bars: pd.DataFrame) -> None:
    settings = settings_for("parquet")
    fill(open_warehouse(settings), settings, sp500_bars)
    root = settings.home / "cells"
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert "garch_forecasts/~5EGSPC/2016-01-01/gjr.parquet" in files
    assert "raw_prices/EURUSD~3DX.parquet" in files
    assert "panel_verdicts/all.parquet" in files
    assert len(files) == 2 + 2 + 4 + 4 + 1 + 1


def test_the_same_rows_give_the_same_file(settings_for: Callable[..., Settings]) -> None:
    settings = settings_for("parquet")
    path = settings.home / "cells" / "garch_forecasts" / "~5EGSPC" / "2016-01-01" / "gjr.parquet"
    contents = []
    for frame in (forecast_rows(), forecast_rows(value=3.0), forecast_rows().sample(frac=1, random_state=3)):
        open_warehouse(settings).write(Replacement("garch_forecasts", frame, cells(frame)))
        contents.append(path.read_bytes())
    assert contents[0] == contents[2] != contents[1]


def test_a_cell_of_an_earlier_release_reads_with_its_new_columns_empty(settings_for: Callable[..., Settings]) -> None:
    settings = settings_for("parquet")
    warehouse = open_warehouse(settings)
    for month in ("2016-01-01", "2016-02-01"):
        warehouse.write(Replacement("garch_forecasts", forecast_rows(month=month), cells(forecast_rows(month=month))))
    path = settings.home / "cells" / "garch_forecasts" / "~5EGSPC" / "2016-01-01" / "gjr.parquet"
    older = f"COPY (SELECT * EXCLUDE (upper), 1 AS retired FROM '{path}') TO '{path}.new' (FORMAT parquet)"
    duckdb.execute(older)
    Path(f"{path}.new").rename(path)
    stored = warehouse.read("forecasts")
    assert len(stored) == 10
    assert stored["upper"].isna().all()
    assert "retired" not in stored


def test_path_segments_are_safe_and_differ() -> None:
    values = ["^GSPC", "~5EGSPC", "..", ".", "a/b", "a\\b", "a b", "A", "é", "e", "~", "x.parquet", "*", "%5E", ""]
    segments = [encoded(value) for value in values]
    assert len(set(segments)) == len(values)
    assert all(
        set(segment) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~")
        for segment in segments
    )
    assert not any(segment.startswith(".") for segment in segments)
    assert encoded(pd.Timestamp("2016-01-01")) == "2016-01-01"


def test_a_url_that_nothing_can_open_is_wrong_input(settings_for: Callable[..., Settings]) -> None:
    with pytest.raises(InputError, match="nosuch://"):
        open_warehouse(settings_for("duckdb", warehouse="parquet:nosuch://bucket"))


def test_a_file_that_is_no_parquet_is_named(settings_for: Callable[..., Settings]) -> None:
    settings = settings_for("parquet")
    path = settings.home / "cells" / "garch_fits" / "A" / "2016-01-01" / "gjr.parquet"
    path.parent.mkdir(parents=True)
    path.write_text("torn")
    with pytest.raises(StoreError, match=r"gjr\.parquet"):
        open_warehouse(settings).read("fits")


@pytest.mark.parametrize("about", [{"tickers": ["A", "B"]}, {"ticker": "A"}])
def test_a_statement_about_some_tickers_looks_at_their_files_only(
    settings_for: Callable[..., Settings], about: dict[str, object]
) -> None:
    warehouse = open_warehouse(settings_for("parquet"))
    for ticker in ("A", "B", "C"):
        fit = fit_rows(ticker)
        warehouse.write(Replacement("garch_fits", fit, cells(fit)))
    damaged = next(Path(warehouse.place.removeprefix("parquet:")).rglob("C/**/*.parquet"))
    damaged.write_text("torn")
    condition = "list_contains($tickers, ticker)" if "tickers" in about else "ticker = $ticker"
    stored = warehouse.query(f"SELECT ticker FROM fits WHERE {condition} ORDER BY 1", about)
    assert stored["ticker"].tolist() == ["A", "B"][: len(stored)]
    assert len(stored) == (2 if "tickers" in about else 1)
