"""A trained network: from the weights that a training left to answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from mlpatterns.metadata import Array
from mlpatterns.training.cifar10.checkpoint import read_arrays
from mlpatterns.training.cifar10.models import network

__all__ = ["AT_ONCE", "WEIGHTS", "answers", "load_network"]

WEIGHTS = "weights.npz"
AT_ONCE = 256  # images that are answered together


def load_network(trained: Path) -> nn.Module:
    """The network of a finished training, for answering."""
    arrays, shape = read_arrays(trained / WEIGHTS)
    made = network(**shape)
    made.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    return made.eval()


def answers(net: nn.Module, images: Array) -> Array:
    """The probabilities of images uint8 [rows, 3, 32, 32], float32 [rows, classes]."""
    net.eval()
    with torch.no_grad():
        parts = [
            torch.softmax(net(torch.from_numpy(images[start : start + AT_ONCE].astype(np.float32))), dim=1).numpy()
            for start in range(0, len(images), AT_ONCE)
        ]
    return np.concatenate(parts)
