"""Helpers for tests of several packages: a caller, the notes of a context, a document of a ControlStore, a runtime."""

from __future__ import annotations

from math import inf
from typing import Any

from mlpatterns.base import BasePredictor
from mlpatterns.context import Context
from mlpatterns.interfaces import ControlStore, Document
from mlpatterns.predictor import Caller, Runtime
from mlpatterns.runtime import AppRuntime
from mlpatterns.runtime.app import PieceRuntime

__all__ = ["CALLER", "noted", "read", "runtime_of"]

CALLER = Caller("ann", {}, inf)


def noted(context: Context, key: str) -> Any:
    """The last value noted under `key`."""
    return [note.value for note in context.notes if note.key == key][-1]


async def read(store: ControlStore, key: str) -> Document[Any] | None:
    """The newest version of one document."""
    return (await store.get_many([key])).get(key)


def runtime_of(app: AppRuntime, name: str = "piece") -> Runtime:
    """The runtime that a piece at the path `name` gets."""
    return PieceRuntime(app, BasePredictor(name), name)
