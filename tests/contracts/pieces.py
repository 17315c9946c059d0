"""All registered pieces, and functions that build them around a predictor."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import mlpatterns.pieces
import mlpatterns.service  # its piece is defined outside the package of pieces
from mlpatterns.base import Wrapper
from mlpatterns.pieces import all_pieces
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.testing import CountingModel

ENTRIES = {each.name: each for each in all_pieces()}
NOW = [name for name, piece in ENTRIES.items() if not piece.answers_later]
LATER = [name for name, piece in ENTRIES.items() if piece.answers_later]
ALL = [(outer, inner) for outer in NOW for inner in NOW]
REFUSED = [names for names in ALL if ENTRIES[names[0]].detaches and ENTRIES[names[1]].by_caller]
"""Invalid pairs: a piece that gives several callers one answer, around a piece whose answer depends on the caller."""
PAIRS = [names for names in ALL if names not in REFUSED]
LATER_PAIRS = [pair for name in LATER for other in ENTRIES for pair in dict.fromkeys([(name, other), (other, name)])]


def predictor_classes() -> Iterator[tuple[str, type[Any]]]:
    """Every public predictor class of mlpatterns.pieces, found by walking its modules, and every registered one."""
    found: dict[str, type[Any]] = {name: each.kind for name, each in ENTRIES.items()}
    for info in pkgutil.walk_packages(mlpatterns.pieces.__path__, f"{mlpatterns.pieces.__name__}."):
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            kind = getattr(module, name)
            if isinstance(kind, type) and hasattr(kind, "predict") and hasattr(kind, "start"):
                found[name] = kind
    yield from found.items()


def around(name: str, inner: Predictor) -> Predictor:
    """The piece `name` around `inner`."""
    return ENTRIES[name].example(inner, CountingModel("before"))


def pair(outer: str, inner: str, leaf: Predictor) -> Predictor:
    """`outer(inner(leaf))`."""
    return around(outer, around(inner, leaf))


class Noting(Wrapper):
    """Adds one note before it calls its inner predictor, and one after the answer."""

    async def start(self, runtime: Runtime) -> None:
        self.path = runtime.path

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        context = request.context.at(self.path)
        context.note("asked", self.name)
        response = await self.inner.predict(request)
        context.note("answered", self.name, public=True)
        return response


class ByCaller(Wrapper):
    """Depends on the caller: it reads a header that no setting forwards, and records its values."""

    depends_on_caller = True
    reads_headers = ("x-tenant",)

    def __init__(self, inner: Predictor) -> None:
        super().__init__(inner)
        self.tenants: list[str | None] = []

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        self.tenants.append(request.context.headers.get("x-tenant"))
        return await self.inner.predict(request)
