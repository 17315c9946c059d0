"""Training is reproducible, and accurate enough."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest
import train
from app import MODEL


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """(bytes, line printed) of a second training."""
    path = tmp_path_factory.mktemp("again") / "model.onnx"
    line = train.main(path)
    return path.read_bytes(), line


def test_training_again_gives_the_same_bytes(again):
    written, line = again
    assert written == MODEL.read_bytes()
    assert sha256(written).hexdigest() in line


def test_the_accuracy_on_unseen_digits_is_at_least_95_percent(again):
    assert float(re.search(r"accuracy ([\d.]+)", again[1])[1]) >= 0.95
