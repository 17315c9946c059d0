"""Training what is missing, once, however many want it."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path
from queue import Queue

import pytest

from mlpatterns.cli.missing import train_missing
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.server.app import serve
from mlpatterns.settings import Settings


def test_who_waits_for_another_process_that_trains_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: Queue[str] = Queue()  # to look at standard error meanwhile could lose what is written at that moment
    monkeypatch.setattr("mlpatterns.cli.missing.note", said.put)
    monkeypatch.setattr("mlpatterns.cli.missing._train", lambda names, settings: None)
    home.mkdir()
    app = serve(lambda: OnnxModel("iris_sklearn_svc"))
    waiting = threading.Thread(target=train_missing, args=([app], Settings(home=home)))
    with (home / "train.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting.start()
        assert said.get(timeout=60) == f"another process is training models in {home}: waiting for it"
        assert waiting.is_alive()
    waiting.join(60)
    assert not waiting.is_alive()
