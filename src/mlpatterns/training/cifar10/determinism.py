"""Torch that repeats itself: the same seed, threads and machine give the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from mlpatterns.settings import cpus

__all__ = ["deterministic", "mixed"]


@contextmanager
def deterministic(threads: int = 0) -> Iterator[None]:
    """Torch with algorithms that repeat themselves, on so many threads; as it was afterwards."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    torch.set_num_threads(threads or cpus())
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.set_rng_state(before[2])


def mixed(seed: int, epoch: int) -> int:
    """A seed for an epoch, far from that of any other pair."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> np.uint64(1))
