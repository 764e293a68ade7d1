"""The validation of the reference network: from its fit to the store and onto the page."""

from __future__ import annotations

import pandas as pd
import pytest

from volassets.pipeline.cells import Partition
from volassets.pipeline.memory_run import MemoryCell, MemoryRun
from volassets.reporting.charts.chart import payload
from volassets.reporting.page_data import TickerData
from volassets.reporting.sections import networks
from volassets.settings import Settings, load_settings
from volassets.warehouse.store import Replacement, Warehouse, open_warehouse

TICKER, MODEL, MONTHS = "^GSPC", "lstm_reference", ("2003-12", "2004-01")
SMALL = "[lstm_reference]\nhidden = 4\nlayers = 2\nwindow = 200\nepochs = 2\nsequence_length = 8\n"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("validated")
    (home / "volassets.toml").write_text(f'models = ["{MODEL}"]\ntickers = ["{TICKER}"]\n{SMALL}')
    return load_settings(home)


@pytest.fixture(scope="module")
def store(settings: Settings, sp500_bars: pd.DataFrame) -> Warehouse:
    """What the step of the fits writes for two refits."""
    store = open_warehouse(settings)
    with MemoryRun(settings, {TICKER: sp500_bars[:"2004-03"]}) as memory:
        for month in MONTHS:
            place = Partition(TICKER, pd.Timestamp(month))
            for step in memory.steps:
                if step.name in ("selected_features", "lstm_fits"):
                    for model in step.variants:
                        output = memory.output(step, MemoryCell(place, model))
                        memory.keep(step, MemoryCell(place, model), output)
                        store.write(*step.writes(place, model.name if model else "", "0", output))
    return store


def test_every_refit_stores_scores_of_rows_before_its_month(store: Warehouse) -> None:
    scores, rows = store.read("validation_scores"), store.read("validation_forecasts")
    assert scores.groupby("refit_month")["horizon"].apply(list).tolist() == [[1, 5, 22]] * len(MONTHS)
    assert (rows["origin_date"] < rows["refit_month"]).all()
    counted = rows.groupby(["refit_month", "horizon"]).size()
    assert counted.tolist() == scores["n"].tolist()
    assert (scores[["rmse", "mae", "qlike"]] > 0).all(axis=None)


def test_the_page_shows_the_newest_refit(store: Warehouse, settings: Settings) -> None:
    section = networks.training(TickerData(store, settings, TICKER))
    assert f"{MODEL}: validation of the refit {MONTHS[-1]}" in section.body
    assert "2 LSTM layers of 4 units" in section.body
    newest = store.read("validation_scores", refit_month=pd.Timestamp(MONTHS[-1]))
    for row in newest.itertuples():
        assert f"<td>{row.rmse:,.4f}</td><td>{row.mae:,.4f}</td><td>{row.r2:,.3f}</td><td>{row.qlike:,.3f}</td>" in (
            section.body
        )
    _, series, scatter = section.charts
    assert [line["label"] for line in series.spec["series"][:2]] == ["actual", "predicted"]
    assert len(series.spec["x"]) == newest["n"].max()
    assert f'"validation-{MODEL}"' in payload(section.charts)
    predicted, diagonal = scatter.spec["x"], scatter.spec["series"][1]["values"]
    assert (predicted == diagonal).all()
    assert (pd.Series(predicted).diff().dropna() >= 0).all()


def test_a_fit_without_scores_gets_the_command_that_makes_them(store: Warehouse, settings: Settings) -> None:
    """An earlier release has fitted it: the tables are there and empty."""
    with_rows = networks.training(TickerData(store, settings, TICKER))
    cell = {"ticker": [TICKER], "refit_month": [pd.Timestamp("2004-02-01")], "model": [MODEL]}
    fits = store.read("lstm_fits").iloc[-1:].assign(refit_month=cell["refit_month"])
    store.write(Replacement("lstm_fits", fits, pd.DataFrame(cell)))
    section = networks.training(TickerData(store, settings, TICKER))
    assert "volassets run --from 2004-02 --to 2004-02 --models lstm_reference --force" in section.body
    assert len(section.charts) == len(with_rows.charts) - 2
