"""Batches of images. The data set is in memory as bytes; threads augment batches ahead of their use.

The contents of a batch depend only on the seed, the epoch and the number of the batch, not on the thread that made it
or the time. So a training that was resumed, or has another number of workers, gets the same batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mlpatterns.metadata import Array
from mlpatterns.training.cifar10.published import SIDE

__all__ = ["Loader", "augment"]

PAD = 4  # pixels by which a crop may move
AHEAD = 2  # batches that each worker may have ready


class Loader:
    """The batches of an epoch.

    Args:
        images: uint8, [rows, 3, 32, 32]; may be a memory map.
        labels: int64, [rows].
        workers: the number of threads that make batches ahead; with 0, each batch is made when it is requested.
    """

    def __init__(self, images: Array, labels: Array, *, batch_size: int, seed: int, workers: int) -> None:
        self.images, self.labels, self.batch_size, self.seed, self.workers = images, labels, batch_size, seed, workers

    def __len__(self) -> int:
        """The number of batches in an epoch. A last batch of one image is left out: it has no deviation."""
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole + (rest > 1)

    def epoch(self, epoch: int) -> Iterator[tuple[Array, Array]]:
        """Yields augmented images, float32 [batch, 3, 32, 32] from 0 to 255, with their labels; each image once."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))

        def make(number: int) -> tuple[Array, Array]:
            rows = order[number * self.batch_size : (number + 1) * self.batch_size]
            random = np.random.default_rng((self.seed, epoch, number))
            return augment(self.images[rows], random).astype(np.float32), self.labels[rows]

        if self.workers == 0:
            yield from map(make, range(len(self)))
            return
        waiting: deque[Future[tuple[Array, Array]]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="loader") as pool:
            try:
                for number in range(len(self)):
                    waiting.append(pool.submit(make, number))
                    if len(waiting) > self.workers * AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def augment(images: Array, random: np.random.Generator) -> Array:
    """Moves each uint8 image by up to PAD pixels, fills the gap with mirrored pixels, and mirrors half of them."""
    padded = np.pad(images, ((0, 0), (0, 0), (PAD, PAD), (PAD, PAD)), mode="reflect")
    windows = sliding_window_view(padded, (SIDE, SIDE), axis=(2, 3))
    down, right = random.integers(0, 2 * PAD + 1, size=(2, len(images)))
    moved = windows[np.arange(len(images)), :, down, right]
    mirrored = random.integers(0, 2, size=len(images)).astype(bool)
    moved[mirrored] = moved[mirrored, :, :, ::-1]
    return moved
