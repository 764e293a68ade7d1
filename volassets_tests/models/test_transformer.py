from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from volassets.models.networks import StackedTransformer
from volassets.models.protocol import Fit
from volassets.models.transformer import Transformer
from volassets_tests.models.windows import origins_after, window_of

SMALL = Transformer(epochs=1, seeds=2)
MONTH = "2004-01"


@pytest.fixture(scope="module")
def fit(sp500_features: pd.DataFrame) -> Fit:
    return SMALL.fit(window_of(sp500_features, MONTH))


def test_block_is_the_one_written_out() -> None:
    width, heads, days, n = 6, 2, 5, 3
    network = StackedTransformer(
        2, channels=4, static=3, horizons=1, width=width, heads=heads, days=days, head=4, dropout=0.0
    )
    network.start([1, 2])
    sequence = torch.randn(days, 4, n, generator=torch.Generator().manual_seed(0))
    encoding, weights = network.encode(sequence), network.attention(sequence)
    for which in range(2):
        part = {name: value[which] for name, value in network.named_parameters()}

        def norm(x: torch.Tensor) -> torch.Tensor:
            return (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()

        for row in range(n):
            tokens = sequence[:, :, row] @ part["embed"] + part["position"]
            queries, keys, values = (norm(tokens) @ part["mix"] + part["mix_bias"]).split(width, dim=1)
            seen, last = [], torch.zeros(days)
            for q, k, v in zip(*(x.split(width // heads, dim=1) for x in (queries, keys, values)), strict=True):
                attended = (q @ k.T / np.sqrt(width / heads)).softmax(dim=1)
                seen.append(attended @ v)
                last = last + attended[-1] / heads
            tokens = tokens + torch.cat(seen, dim=1) @ part["unmix"]
            wide = torch.nn.functional.silu(norm(tokens) @ part["widen"] + part["widen_bias"])
            tokens = norm(tokens + wide @ part["narrow"] + part["narrow_bias"])
            expected = torch.cat([tokens[-1], tokens.mean(dim=0)])
            torch.testing.assert_close(encoding[which, :, row], expected, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(weights[:, which, row], last, rtol=1e-4, atol=1e-6)


def test_fit_is_a_function_of_its_window(sp500_features: pd.DataFrame, fit: Fit) -> None:
    again = SMALL.fit(window_of(sp500_features, MONTH))
    for name, tensor in fit.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], tensor)


def test_forecast_of_an_origin_depends_on_nothing_else(sp500_features: pd.DataFrame, fit: Fit) -> None:
    origins = origins_after(sp500_features, MONTH, before=200)
    whole = SMALL.forecast(fit, sp500_features, origins)
    assert (whole.to_numpy() > 0).all()
    for day in (origins[3], origins[100], origins[-1]):
        alone = SMALL.forecast(fit, sp500_features.loc[:day], pd.DatetimeIndex([day], name="date"))
        pd.testing.assert_frame_equal(alone, whole.loc[[day]], check_exact=True)


def test_attention_sums_to_one_over_the_days(sp500_features: pd.DataFrame, fit: Fit) -> None:
    frame = SMALL.attention(fit, sp500_features, origins_after(sp500_features, MONTH))
    assert frame["lag_days"].tolist() == list(range(22))
    assert frame["weight"].sum() == pytest.approx(1)


def test_heads_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads = 3 must divide width = 16"):
        Transformer(heads=3)
