"""Networks evaluated so that a row's bits depend on the row alone; weights to and from a fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from volassets.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

BLOCK = 64
AnyNetwork = TypeVar("AnyNetwork", bound="nn.Module")


def in_blocks(
    function: Callable[..., Tensor], arrays_of: Callable[[np.ndarray], tuple[np.ndarray, ...]], rows: np.ndarray, n: int
) -> np.ndarray:
    """Return the values of `function` at `rows`, shape (outputs, len(rows)).

    The products behind a network may round differently in another batch size or at another place of a batch. So a row
    is always computed at its own place (row modulo 64) of a block of 64 rows, on the CPU with one thread.

    Parameters
    ----------
    function : callable
        From tensors of 64 rows to a tensor of shape (outputs, 64).
    arrays_of : callable
        From row numbers to the function's inputs, rows last; NaN is read as 0.
    rows : ndarray of int
        Row numbers of a feature table of `n` rows, at least one.
    """
    import torch

    from volassets.models.training import one_thread

    if not len(rows):
        raise InputError("no origin was given: name at least one.")
    blocks, outputs, order = rows // BLOCK, [], []
    with one_thread(), torch.no_grad():
        for block in np.unique(blocks):
            wanted = np.flatnonzero(blocks == block)
            members = np.arange(block * BLOCK, min((block + 1) * BLOCK, n))
            tensors = []
            for array in arrays_of(members):
                tensor = torch.zeros(*array.shape[:-1], BLOCK)
                tensor[..., : len(members)] = torch.from_numpy(np.nan_to_num(array))
                tensors.append(tensor)
            outputs.append(function(*tensors).double().numpy()[:, rows[wanted] - block * BLOCK])
            order.append(wanted)
    return np.concatenate(outputs, axis=1)[:, np.argsort(np.concatenate(order))]


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Return the weights by name, for a fit."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.named_parameters()}


def load_weights(network: AnyNetwork, tensors: Mapping[str, np.ndarray]) -> AnyNetwork:
    """Return `network` with the weights of a fit, ready to forecast."""
    import torch

    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.from_numpy(np.array(tensors[name])))
    return network.eval()
