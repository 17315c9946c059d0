"""Helpers for torch: deterministic algorithms, and predictions of a trained network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mlpatterns.metadata import Array
from mlpatterns.settings import cpus
from mlpatterns.training.cifar10.checkpoint import read_arrays
from mlpatterns.training.cifar10.models import network

__all__ = ["AT_ONCE", "WEIGHTS", "answers", "deterministic", "epoch_seed", "load_network"]

WEIGHTS = "weights.npz"
AT_ONCE = 256  # images per batch


def load_network(trained: Path) -> nn.Module:
    """The network of a finished training, for predictions."""
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


@contextmanager
def deterministic(threads: int = 0) -> Iterator[None]:
    """Sets torch to deterministic algorithms and the number of threads, and restores its settings afterwards."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    torch.set_num_threads(threads or cpus())
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.set_rng_state(before[2])


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed for torch in one epoch, different for each pair of seed and epoch."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> np.uint64(1))
