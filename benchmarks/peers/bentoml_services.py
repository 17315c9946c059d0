"""BentoML services, as its guide writes them: a class, `@bentoml.api`, numpy in the signature; sync and async."""

from __future__ import annotations

import os
from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import ContentType, DType, Shape

from benchmarks.peers.session import open_model

Matrix = Annotated[np.ndarray, DType("float32"), Shape((-1, 4))]
Pixels = Annotated[bytes, ContentType("application/octet-stream")]

# `threads` is for sync handlers; one beside the loop is the default, and the fastest with one core a worker.
service = bentoml.service(
    workers=int(os.environ.get("PEER_WORKERS", "1")),
    logging={"access": {"enabled": False}},
    traffic={"timeout": 60},
)


@service
class Rows:
    """`{"data": [[…]]}` in, the list of lists out."""

    def __init__(self) -> None:
        self.run = open_model()

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML lives in an environment of its own
    def predict(self, data: Matrix) -> np.ndarray:
        found: np.ndarray = self.run(data)
        return found


@service
class AsyncRows:
    """The same on the event loop: no step to a thread and back."""

    def __init__(self) -> None:
        self.run = open_model()

    @bentoml.api  # type: ignore[untyped-decorator]
    async def predict(self, data: Matrix) -> np.ndarray:
        found: np.ndarray = self.run(data)
        return found


@service
class Images:
    """One image as the bytes of its pixels, raw in both directions."""

    def __init__(self) -> None:
        self.run = open_model()

    @bentoml.api  # type: ignore[untyped-decorator]
    async def predict(self, image: Pixels, /) -> Pixels:
        found: bytes = self.run(np.frombuffer(image, "<f4").reshape(1, 3, 224, 224)).tobytes()
        return found


@service
class ArrayImages:
    """One image as an array in JSON, which is what its guide does with numpy."""

    def __init__(self) -> None:
        self.run = open_model()

    @bentoml.api  # type: ignore[untyped-decorator]
    async def predict(self, data: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.run(data.astype(np.float32))
        return found
