"""`import volassets as va`: what it offers, and that it costs next to nothing."""

from __future__ import annotations

import inspect
import pkgutil

import pytest

import volassets as va
from volassets_tests.test_structure import loaded_by

NAMES = (
    "BarsWarning", "SkippedWarning", "compare", "feature_table", "fit", "open", "plot", "portfolio_risk", "risk",
    "score", "walk_forward",
)  # fmt: skip


def test_the_public_names_are_there_and_documented():
    assert sorted(va._PUBLIC) == list(NAMES)
    assert set(NAMES) <= set(dir(va))
    for name in NAMES:
        assert inspect.getdoc(getattr(va, name)), name
    with pytest.raises(AttributeError, match="forecasts"):
        _ = va.forecasts


def test_no_public_name_is_that_of_a_module():
    # Importing volassets.NAME would put the module in the place of the function.
    assert not set(NAMES) & {module.name for module in pkgutil.iter_modules(va.__path__)}


def test_the_import_loads_no_library(tmp_path):
    assert loaded_by("import volassets", tmp_path) - loaded_by("pass", tmp_path) == {"volassets"}


def test_forecasting_loads_no_dagster_and_networks_alone_load_torch(tmp_path):
    used = loaded_by("import volassets as va; va.walk_forward, va.score, va.plot, va.open", tmp_path)
    assert not used & {"dagster", "torch", "matplotlib"}
