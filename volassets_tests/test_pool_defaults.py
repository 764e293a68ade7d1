"""Which models are the defaults with and without a pool, and what stays as it was set."""

from __future__ import annotations

from pathlib import Path

import pytest

from volassets.errors import InputError
from volassets.models.combination import Combination
from volassets.pool_defaults import DEFAULT_MODELS, POOLED_MODELS, with_pool
from volassets.settings import Settings, load_settings
from volassets.settings_file import default_text

OWN, WITH_POOL = Combination().members, Combination.members_with_pool
FOUR, THREE = ("A", "B", "C", "D"), ("A", "B", "C")


def settings_of(place: Path, toml: str = "", **values: object) -> Settings:
    (place / "volassets.toml").write_text(toml)
    return load_settings(place, values, environment={})


@pytest.mark.parametrize("toml", ["", default_text()], ids=["without a file", "the file of a new home"])
def test_four_tickers_add_the_pooled_models(tmp_path: Path, toml: str) -> None:
    few, many = settings_of(tmp_path, toml, tickers=THREE), settings_of(tmp_path, toml, tickers=FOUR)
    assert few.models == DEFAULT_MODELS
    assert few.model("combination").member_names == OWN
    assert set(many.models) == {*DEFAULT_MODELS, *POOLED_MODELS}
    assert many.model("combination").member_names == WITH_POOL
    assert with_pool(many) == many


def test_a_pinned_pool_and_the_setting_decide(tmp_path: Path) -> None:
    assert settings_of(tmp_path, tickers=FOUR, pool=("A", "B")).models == DEFAULT_MODELS
    assert settings_of(tmp_path, tickers=FOUR, pooled_from=0).models == DEFAULT_MODELS
    assert set(POOLED_MODELS) < set(settings_of(tmp_path, tickers=("A", "B"), pooled_from=2).models)


def test_what_was_set_stays(tmp_path: Path) -> None:
    """A combination gets pooled members only where the models have them all."""
    mine = settings_of(tmp_path, 'models = ["gjr", "lstm", "elastic_net", "transformer", "combination"]', tickers=FOUR)
    assert mine.models == ("gjr", "lstm", "elastic_net", "transformer", "combination")
    assert mine.model("combination").member_names == OWN
    members = settings_of(tmp_path, '[combination]\nmembers = ["gjr", "lstm"]\nweights = "past_losses"', tickers=FOUR)
    assert members.model("combination") == Combination(members=("gjr", "lstm"), weights="past_losses")
    weights = settings_of(tmp_path, '[combination]\nweights = "past_losses"', tickers=FOUR)
    assert weights.model("combination") == Combination(members=WITH_POOL, weights="past_losses")
    names = [name for name in (*WITH_POOL, "combination") if name != "pooled_ridge"]
    asked = f"models = {names}\n[combination]\nmembers = {list(WITH_POOL)}"
    with pytest.raises(InputError, match="combination needs pooled_ridge, which is not among the models of this run"):
        settings_of(tmp_path, asked, tickers=FOUR)
