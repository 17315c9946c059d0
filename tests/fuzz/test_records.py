"""The reader of CIFAR's records under the fuzzer: it reads or refuses, and makes nothing but data."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from fuzz.fuzzer import fuzz
from mlpatterns.training.cifar10.pickled import dump, load
from mlpatterns.user_errors import UserError

CHAOS = int(os.environ.get("MLPATTERNS_CHAOS", "1"))
RECORD = {b"labels": [1, 2, 300], b"data": np.arange(12, dtype=np.uint8).reshape(3, 4), b"names": [b"a", b"b" * 300]}
SEEDS = (
    dump(RECORD),
    pickle.dumps(RECORD, protocol=4),
    b"(dp1\nS'num_cases_per_batch'\np2\nI10000\nsS'label_names'\np3\n(lp4\nS'airplane'\np5\nas.",
)
WORDS = (
    b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cos\nsystem\n", b"}", b"]", b"(", b"t", b"R", b"b", b"\x85", b"K\x01",
    b"u", b"e", b"h\x00", b"q\x00", b"0", b"2",
)  # fmt: skip
DATA = (bytes, int, bool, type(None), list, tuple, dict, str, np.ndarray, type)


def read(data: bytes) -> None:
    """All that comes out is data; of what it is made is looked at two levels deep."""
    for value in load(data, "record").values():
        assert isinstance(value, DATA)
        assert all(isinstance(item, DATA) for item in (value if isinstance(value, list) else ()))


@pytest.mark.slow
def test_it_reads_or_refuses_whatever_is_in_a_file() -> None:
    report = fuzz(
        read, SEEDS, files=["training/cifar10/pickled.py"], words=WORDS, cases=3_000 * CHAOS**2,
        seconds=60.0 * CHAOS, allowed=UserError, memory=2 * 1024 * 1024,
    )  # fmt: skip
    assert report.finds == {}
    assert report.refused < report.cases
