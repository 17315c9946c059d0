"""A HotSwap whose version 2 takes longer to load than any test, in a thread that nothing can stop."""

from __future__ import annotations

import time

from mlpatterns import HotSwap, OnnxModel, serve
from mlpatterns.base import Wrapper
from mlpatterns.predictor import Predictor, Runtime
from mlpatterns.references import RegisteredReference


class Slow(Wrapper):
    async def start(self, runtime: Runtime) -> None:
        await runtime.offload(lambda: time.sleep(600))


def make(reference: RegisteredReference) -> Predictor:
    return Slow(OnnxModel(reference)) if reference.version == 2 else OnnxModel(reference)


app = serve(lambda: HotSwap("times", make, check_every=0.05))
