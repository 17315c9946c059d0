"""Batches: each image once an epoch, augmented, the same whoever makes them."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from mlpatterns.training.cifar10.loader import PAD, Loader, augment

IMAGES = np.random.default_rng(0).integers(0, 256, size=(25, 3, 32, 32)).astype(np.uint8)
LABELS = np.arange(25)


def loader(workers: int = 0, *, batch_size: int = 8, seed: int = 3) -> Loader:
    return Loader(IMAGES, LABELS, batch_size=batch_size, seed=seed, workers=workers)


def test_an_epoch_has_each_image_once_in_an_order_of_its_own() -> None:
    first, second = ([labels.tolist() for _, labels in loader(batch_size=10).epoch(number)] for number in (0, 1))
    assert [len(batch) for batch in first] == [10, 10, 5]
    assert sorted(chain(*first)) == sorted(chain(*second)) == LABELS.tolist()
    assert first != second


def test_a_last_batch_of_one_image_is_left_out() -> None:
    assert [len(labels) for _, labels in loader(batch_size=8).epoch(0)] == [8, 8, 8]
    assert len(loader(batch_size=8)) == 3


@pytest.mark.parametrize("workers", [1, 4])
def test_workers_change_nothing_but_the_speed(workers: int) -> None:
    alone, together = list(loader().epoch(5)), list(loader(workers).epoch(5))
    assert len(alone) == len(together)
    for (images, labels), (other, others) in zip(alone, together, strict=True):
        assert np.array_equal(images, other)
        assert np.array_equal(labels, others)


def test_another_seed_gives_other_batches() -> None:
    (images, _), (other, _) = next(loader().epoch(0)), next(loader(seed=4).epoch(0))
    assert not np.array_equal(images, other)


def test_an_epoch_that_is_left_early_ends_its_workers() -> None:
    import threading

    batches = loader(2).epoch(0)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_an_error_of_a_worker_reaches_who_asks() -> None:
    broken = Loader(IMAGES, LABELS[:3], batch_size=8, seed=0, workers=2)
    with pytest.raises(IndexError):
        list(broken.epoch(0))


def test_an_image_is_moved_and_mirrored_and_nothing_else() -> None:
    """Every augmented image is one of the 2 x 9 x 9 that a mirrored edge, a shift and a mirror can give."""
    made = augment(IMAGES, np.random.default_rng(1))
    assert made.dtype == np.uint8
    padded = np.pad(IMAGES, ((0, 0), (0, 0), (PAD, PAD), (PAD, PAD)), mode="reflect")
    found = [place(padded[row], made[row]) for row in range(len(IMAGES))]
    assert None not in found
    assert {one[0] for one in found if one} == {False, True}
    assert len(set(found)) > 15


def place(padded: np.ndarray, made: np.ndarray) -> tuple[bool, int, int] | None:
    for mirrored in (False, True):
        wanted = made[:, :, ::-1] if mirrored else made
        for down in range(2 * PAD + 1):
            for right in range(2 * PAD + 1):
                if np.array_equal(padded[:, down : down + 32, right : right + 32], wanted):
                    return mirrored, down, right
    return None


def test_the_images_themselves_stay_as_they_are() -> None:
    before = IMAGES.copy()
    list(loader().epoch(0))
    assert np.array_equal(IMAGES, before)
