"""The models, one line each. A new model is its own file and one line here."""

from __future__ import annotations

from volassets.models.benchmark import Ewma, Naive, Rolling20
from volassets.models.combination import Combination
from volassets.models.elastic_net import ElasticNet
from volassets.models.garch import Egarch, Garch, Gjr
from volassets.models.linear import Har, LogHar, LogHarLeverage
from volassets.models.lstm import Lstm
from volassets.models.lstm_reference import LstmReference
from volassets.models.pooled_boosting import PooledBoosting
from volassets.models.pooled_lstm import PooledLstm
from volassets.models.pooled_ridge import PooledRidge
from volassets.models.protocol import Model
from volassets.models.transformer import Transformer

REGISTERED: tuple[type[Model], ...] = (
    Naive,
    Rolling20,
    Ewma,
    Garch,
    Gjr,
    Egarch,
    Har,
    LogHar,
    LogHarLeverage,
    ElasticNet,
    Lstm,
    LstmReference,
    Transformer,
    PooledLstm,
    PooledRidge,
    PooledBoosting,
    Combination,
)

MODELS: dict[str, type[Model]] = {model.name: model for model in REGISTERED}


def families(*, stored_fits: bool = False) -> tuple[str, ...]:
    """Return the families of the registered models; with `stored_fits`, those whose fits are stored."""
    return tuple(dict.fromkeys(m.family for m in MODELS.values() if m.stored_fits or not stored_fits))
