"""The plain way to train the reference recipe, for comparison: data loaders, items, per-parameter steps.

It is what one writes first in PyTorch, and does the same arithmetic as `lstm_reference`: the same
rows, network, batches per epoch, optimiser and schedule.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from volassets.models.lstm_reference import LstmReference, SelectedInputs
from volassets.models.protocol import TRADING_DAYS, Window


class Sequences(Dataset):
    """One sequence and its labels per item, cut when asked for."""

    def __init__(self, values: np.ndarray, labels: np.ndarray, rows: np.ndarray, length: int) -> None:
        self.values = torch.tensor(values, dtype=torch.float32)
        self.labels = torch.tensor(labels, dtype=torch.float32)
        self.rows = rows
        self.length = length

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> tuple[torch.Tensor, torch.Tensor]:
        row = self.rows[item]
        return self.values[row - self.length + 1 : row + 1], self.labels[row]


class PlainLstm(nn.Module):
    """Layers of `nn.LSTM`, the last state, dropout, a linear layer and softplus."""

    def __init__(self, inputs: int, horizons: int, spec: LstmReference) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, spec.hidden, spec.layers, dropout=spec.dropout, batch_first=True)
        self.dropout = nn.Dropout(spec.dropout)
        self.linear = nn.Linear(spec.hidden, horizons)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(batch)
        return nn.functional.softplus(self.linear(self.dropout(states[:, -1])))


def qlike(forecast: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Mean QLIKE of volatilities over the labels that are there."""
    there = ~torch.isnan(label)
    forecast, label = forecast[there], label[there]
    return (torch.log(forecast**2) + label**2 / forecast**2).mean()


def train_plainly(spec: LstmReference, window: Window) -> tuple[nn.Module, list[float]]:
    """Train on the window as `spec` says; return the best network and the validation losses."""
    torch.manual_seed(window.seed(spec.name))
    inputs = SelectedInputs.of_window(window, spec.sequence_length)
    days = window.features.iloc[-spec.window :]
    values = (days[list(inputs.names)].to_numpy() - inputs.center) / inputs.scale
    labels = np.stack([window.target(h).to_numpy()[-len(days) :] for h in window.horizons], axis=1)
    labels = np.sqrt(TRADING_DAYS * labels)
    rows = np.arange(spec.sequence_length - 1, len(days) - 1)
    split = len(rows) - round(spec.validation_split * len(rows))
    training = DataLoader(
        Sequences(values, labels, rows[:split], spec.sequence_length),
        batch_size=spec.batch_size,
        shuffle=True,
        drop_last=True,
    )
    validation = DataLoader(Sequences(values, labels, rows[split:], spec.sequence_length), batch_size=spec.batch_size)
    network = PlainLstm(len(inputs.names), len(window.horizons), spec)
    optimizer = torch.optim.Adam(network.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=spec.rate_factor, patience=spec.rate_patience
    )
    best, best_loss, stale, losses = copy.deepcopy(network.state_dict()), float("inf"), 0, []
    for _ in range(spec.epochs):
        network.train()
        total = 0.0
        for batch, label in training:
            optimizer.zero_grad()
            loss = qlike(network(batch), label)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), spec.clip)
            optimizer.step()
            total += loss.item()
        network.eval()
        validation_loss = 0.0
        with torch.no_grad():
            for batch, label in validation:
                validation_loss += qlike(network(batch), label).item() / len(validation)
        scheduler.step(validation_loss)
        losses.append(validation_loss)
        if validation_loss < best_loss:
            best, best_loss, stale = copy.deepcopy(network.state_dict()), validation_loss, 0
        else:
            stale += 1
            if stale == spec.patience:
                break
    network.load_state_dict(best)
    return network, losses
