"""A piece with an exclusive program that writes a line a tick, and a child that is apart: what the tests of programs
run. It is copied and run, never imported.

Each line of `ticks` is the id of the process, the program's fence, and whether the model is loaded there.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlpatterns import PythonModel, Runtime, TensorSpec, Wrapper, serve

FAIL = Path("fail")  # while this file is there the program fails
SLEEP = 0.02  # seconds between two ticks


def load() -> None:
    with Path("loads").open("a") as file:
        file.write(f"{os.getpid()}\n")


def predict(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"sum": inputs["input"].sum(axis=1, keepdims=True)}


def model(name: str) -> PythonModel:
    return PythonModel(
        load if name == "candidate" else lambda: None,
        predict,
        inputs=[TensorSpec("input", "FP32", (-1, 2))],
        outputs=[TensorSpec("sum", "FP32", (-1, 1))],
        sample={"input": np.zeros((1, 2), np.float32)},
        run_on="loop",
        name=name,
    )


class Ticks:
    """The program."""

    name = "ticks"
    exclusive = True

    def __init__(self, piece: "Ticking") -> None:
        self._piece = piece

    async def run(self, runtime: Runtime) -> None:
        if FAIL.exists():
            raise RuntimeError("told to fail")
        candidate = self._piece.children["candidate"]
        await runtime.start_tree(candidate)
        count = runtime.metrics.counter("toy_ticks_total", "Ticks.", piece=runtime.path)
        while not FAIL.exists():
            with Path("ticks").open("a") as file:
                file.write(f"{os.getpid()} {runtime.fence} {candidate.metadata.name}\n")
            count.inc()
            await asyncio.sleep(SLEEP)
        raise RuntimeError("told to fail")


class Ticking(Wrapper):
    """Passes requests through; its program needs a model that the serving does not."""

    apart = ("candidate",)

    def __init__(self) -> None:
        super().__init__(model("iris"), "ticking")
        self.children = {**self.children, "candidate": model("candidate")}
        self.programs = [Ticks(self)]


def build() -> Ticking:
    return Ticking()


app = serve(build)
