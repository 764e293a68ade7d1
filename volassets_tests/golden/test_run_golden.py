"""What `volassets run` stores for ^GSPC in 2018-12 with every model, pinned table by table before a rewrite.

The rows come from the command line and are read with duckdb, so nothing here depends on how the package is built.
`run/manifest.json` says on which kind of machine they were made (`machine.machine_kind`). On that kind every value has
to come back with the same bits, and the digest of all rows of each table with it. On another kind floats may differ by
`compare.RELATIVE` = 1e-3; hashes, counts, dates and names may not.

The tolerance follows from a run without AVX-512 against the pinned one, which was made with it. With

    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 OPENBLAS_CORETYPE=Haswell
    NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL"

the largest relative differences are 7e-5 (a trade in `backtest_paths`, the difference of two weights), 4e-5
(`mincer_zarnowitz`), 2e-5 (`feature_importance`), 2e-5 (`garch_fits`), 1e-5 (`model_comparisons`), 3e-6 (`leaderboard`
and the panel's tables), 2e-6 (`scores`), 5e-7 (`lstm_forecasts`), 1e-7 (`lstm_fits`, `training_history`, `backtests`),
7e-8 (`garch_forecasts`), 1e-8 (`attention`), 2e-9 (`combined_forecasts`) and below 1e-11 in all others. With the first
two variables alone every forecast keeps its bits but those of the reference LSTM, the largest network, which makes the
largest differences in both cases. No hash, count or sentence changed. Values below `compare.ABSOLUTE` = 1e-13 count as
zero.

With ``NUMBA_DISABLE_JIT=1`` the LSTM and the Transformer train in PyTorch: largest differences for the first 1e-4
(`backtest_paths`, `feature_importance`), 6e-5 (`scores`), 1e-5 (`leaderboard`, `mincer_zarnowitz`) and 2e-6
(`lstm_forecasts`), for the second 5e-5 (`feature_importance`), 2e-5 (`backtest_paths`, `scores`) and 2e-6
(`transformer_forecasts`).

Where numbers are meant to change, `python -m volassets_tests.golden.make_run` writes `run/` again; the same with
``--differences`` prints the largest difference of every table first. Tables and columns that a later version adds are
not compared until then.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from volassets_tests.golden.compare import RELATIVE, differences
from volassets_tests.golden.machine import machine_kind
from volassets_tests.golden.make_run import load, run, written
from volassets_tests.golden.stored import shapes

MACHINE, GOLDEN = load()
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a fresh home after one run."""
    return run(tmp_path_factory.mktemp("golden") / "home")


@pytest.fixture(scope="module")
def exact() -> bool:
    """Whether this is the kind of machine that made the golden rows."""
    return machine_kind() == MACHINE


@pytest.mark.parametrize("table", GOLDEN)
def test_the_table_holds_what_it_held(database: Path, exact: bool, table: str):
    golden = GOLDEN[table]
    assert golden.shape.types.items() <= shapes(database)[table].types.items()
    found = differences(golden, written(database, table, golden.shape), exact)
    rule = "bit for bit" if exact else f"to {RELATIVE}"
    assert not found, f"{table}, {rule}: {len(found)} differences, the first ones:\n" + "\n".join(found[:10])


def test_every_kind_of_result_is_pinned():
    empty = {table for table, golden in GOLDEN.items() if not golden.kept}
    assert empty == {"price_revisions", "audit_results"}
    hashed = {table for table, golden in GOLDEN.items() if "data_hash" in golden.shape.types}
    assert len(hashed) >= 18
