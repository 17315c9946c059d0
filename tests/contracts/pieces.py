"""Every piece there is, and how to build it around a predictor. A new piece adds its line to ENTRIES."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

import mlpatterns.pieces
from mlpatterns.pieces import FanOut, Limit, Pipeline, PredictionCache
from mlpatterns.predictor import Predictor
from mlpatterns.service import Service
from mlpatterns.testing import CountingModel


class Entry(Struct, frozen=True):
    """How to build a piece around one predictor, and what the laws must know of it.

    Attributes:
        build: answers what the predictor inside answers: the sum of each row as the primary output.
        owns: whether it asks in a context and under an id of its own, since what it asks belongs to no caller.
        keyed: whether it needs to know what decides an answer, and refuses to start around what has no identity.
    """

    build: Callable[[Predictor], Predictor]
    owns: bool = False
    keyed: bool = False


ENTRIES: dict[str, Entry] = {
    "FanOut": Entry(lambda inner: FanOut({"left": inner, "right": inner})),
    "Limit": Entry(lambda inner: Limit(inner, max_concurrency=2, max_queue=1000)),
    "Pipeline": Entry(lambda inner: Pipeline(CountingModel("before"), inner)),
    "PredictionCache": Entry(lambda inner: PredictionCache(inner), owns=True, keyed=True),
    "Service": Entry(lambda inner: Service("service", inner)),
}

PAIRS = [(outer, inner) for outer in ENTRIES for inner in ENTRIES]


def all_pieces() -> Iterator[tuple[str, type[Any]]]:
    """Every public predictor class of mlpatterns.pieces, found by walking its modules; and Service."""
    yield "Service", Service
    for info in pkgutil.iter_modules(mlpatterns.pieces.__path__):
        module = importlib.import_module(f"{mlpatterns.pieces.__name__}.{info.name}")
        for name in module.__all__:
            found = getattr(module, name)
            if isinstance(found, type) and hasattr(found, "predict") and hasattr(found, "start"):
                yield name, found


def pair(outer: str, inner: str, leaf: Predictor) -> Predictor:
    """`outer(inner(leaf))`."""
    return ENTRIES[outer].build(ENTRIES[inner].build(leaf))
