"""Ids: when one was made can be read from it."""

from __future__ import annotations

import time
import uuid

from mlpatterns.ids import made_at, new_id


def test_an_id_tells_when_it_was_made_and_what_is_none_does_not() -> None:
    before = time.time()
    found = made_at(new_id())
    assert found is not None
    assert before - 0.002 <= found <= time.time() + 0.002
    for other in ("", "unknown", "0" * 36, str(uuid.uuid4()), new_id().upper(), f"{new_id()}\n"):
        assert made_at(other) is None
