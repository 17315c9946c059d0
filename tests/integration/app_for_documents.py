"""Apps whose documents are held against what they do; MLPATTERNS_TEST_APP says which. Run, never imported."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from mlpatterns import Caller, NotFound, Operation, Predictor, PythonModel, TensorSpec, Wrapper, serve


def rows() -> Predictor:
    """Four columns that have names, three labels."""
    fields = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    return PythonModel(
        lambda: None,
        lambda _, given: {"scores": np.tile(np.array([[0.5, 0.25, 0.25]], np.float32), (len(given["input"]), 1))},
        inputs=[TensorSpec("input", "FP32", (-1, 4), fields=fields)],
        outputs=[TensorSpec("scores", "FP32", (-1, 3))],
        labels=["setosa", "versicolor", "virginica"],
        sample={"input": np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)},
        name="rows",
    )


def text(content: Any) -> Predictor:
    """A key, a text or an image in, how long it is out."""

    def lengths(_: None, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"length": np.array([[len(value)] for value in given["input"].flat], np.int64).reshape(-1, 1)}

    return PythonModel(
        lambda: None, lengths, inputs=[TensorSpec("input", "BYTES", (-1, 1), content=content)],
        outputs=[TensorSpec("length", "INT64", (-1, 1))], sample={"input": np.array([[b"0000"]], object)}, name=content,
    )  # fmt: skip


def pair() -> Predictor:
    """Two inputs, one of them of one row."""
    return PythonModel(
        lambda: None, lambda _, given: {"same": given["a"]},
        inputs=[TensorSpec("a", "INT8", (-1, 2)), TensorSpec("b", "BOOL", (1,))],
        outputs=[TensorSpec("same", "INT8", (-1, 2))], name="pair",
    )  # fmt: skip


class Asked(Struct):
    id: int
    deep: bool = False


class Job(Struct):
    id: int
    tags: list[str]


class Weights(Struct, forbid_unknown_fields=True):
    weights: dict[str, float]


class OperationsPiece(Wrapper):
    """Operations of each kind."""

    def __init__(self, inner: Predictor) -> None:
        super().__init__(inner)
        self.operations = (
            Operation("job/{id}", "query", "public", Asked, Job, self.job),
            Operation("weights", "command", "token", Weights, Weights, self.weigh),
            Operation("note", "command", "public", Job, type(None), self.note),
            Operation("report", "page", "public", type(None), str, self.report),
        )

    async def job(self, asked: Asked, caller: Caller) -> Job:
        if asked.id % 2:
            raise NotFound("there is no such job")
        return Job(asked.id, ["deep"] if asked.deep else [])

    async def weigh(self, told: Weights, caller: Caller) -> Weights:
        return told

    async def note(self, told: Job, caller: Caller) -> None:
        """Takes a note."""

    async def report(self, asked: None, caller: Caller) -> str:
        return "<p>All is well.</p>"


APPS: dict[str, Any] = {
    "rows": rows,
    "text": lambda: text("text"),
    "image": lambda: text("image"),
    "several": lambda: {"rows": rows(), "pair": pair(), "key": text("key")},
    "operations": lambda: OperationsPiece(rows()),
}

app = serve(APPS[os.environ["MLPATTERNS_TEST_APP"]])
