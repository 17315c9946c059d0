"""The forms in which each peer can be served. If its guide leaves a choice, all are tried and the fastest counts."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks.binary_tensor import TENSOR
from benchmarks.models import ROW, answer_of, names_of
from benchmarks.peers.environments import python_of
from benchmarks.rounds import Check, Entrant
from benchmarks.servers import Command, free_port
from benchmarks.wrk import Load

__all__ = [
    "BENTOML", "JSON", "LITSERVE", "MLSERVER", "Form", "litserve", "mlserver", "oip_row",
    "right_at", "row_forms", "tensor_forms",
]  # fmt: skip

MLSERVER, LITSERVE, BENTOML = "MLServer", "LitServe", "BentoML"
JSON = {"content-type": "application/json"}


class Form(Struct, frozen=True):
    """One way to serve a model with a peer; `entrant` takes the ONNX file and the number of workers."""

    peer: str
    name: str
    entrant: Callable[[Path, int], Entrant]


def mlserver(kind: str, model: Path, pool: int, grpc_port: int | None = None) -> Command:
    """MLServer with the runtime `kind`, and an inference pool of so many processes."""
    start = ("benchmarks.peers.mlserver_start", kind, str(pool), str(grpc_port or free_port()))
    return Command((str(python_of("mlserver")), "-m", *start), {"PEER_MODEL": str(model)})


def litserve(kind: str, queue: str, batch: int, model: Path, workers: int) -> Command:
    """LitServe with the API `kind`."""
    start = ("benchmarks.peers.litserve_app", kind, queue, str(batch), str(workers))
    return Command((str(python_of("litserve")), "-m", *start), {"PEER_MODEL": str(model)})


def bentoml(kind: str, model: Path, workers: int) -> Command:
    """BentoML with the service `kind`."""
    start = ("bentoml", "serve", f"benchmarks.peers.bentoml_services:{kind}", "--host", "127.0.0.1", "--port")
    environment = {
        "PEER_MODEL": str(model),
        "PEER_WORKERS": str(workers),
        "BENTOML_HOME": str(model.parent / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    return Command((str(python_of("bentoml")), "-m", *start), environment)


def row_forms(workers: int) -> list[Form]:
    """One row of iris: JSON in, JSON out, each in the shape that the peer's guide has."""
    data = Load("/predict", msgspec.json.encode({"data": [ROW]}), JSON)

    def lit(name: str, kind: str, queue: str, batch: int) -> Form:
        return Form(LITSERVE, name, lambda model, workers: Entrant(
            litserve(kind, queue, batch, model, workers), data, right_at(model, "prediction")))  # fmt: skip

    def bento(name: str, kind: str) -> Form:
        return Form(BENTOML, name, lambda model, workers: Entrant(
            bentoml(kind, model, workers), data, right_at(model, 0)))  # fmt: skip

    def ml(name: str, pool: int) -> Form:
        return Form(MLSERVER, name, lambda model, _: Entrant(
            mlserver("Arrays", model, pool), oip_row(model), right_at(model, "outputs", 0, "data")))  # fmt: skip

    alone = [ml("MLServer, no inference pool", 0)] if workers == 1 else []
    return [
        *alone,
        ml(f"MLServer, inference pool of {workers}", workers),
        lit("LitServe, fast queue", "Rows", "fast", 1),
        lit("LitServe, plain queue", "Rows", "plain", 1),
        lit("LitServe, batches of 16", "BatchedRows", "fast", 16),
        bento("BentoML, async", "AsyncRows"),
        bento("BentoML, sync", "Rows"),
    ]


def tensor_forms() -> list[Form]:
    """One image of 1 x 3 x 224 x 224 FP32 there and back: everything that a peer's HTTP has for it."""
    array = np.frombuffer(TENSOR, "<f4")
    numbers, text = array.tolist(), base64.b64encode(TENSOR).decode()
    shape = [1, 3, 224, 224]
    images = {"name": "input", "shape": [1, 1], "datatype": "BYTES", "parameters": {"content_type": "base64"}}
    arrays = {"name": "input", "shape": shape, "datatype": "FP32", "data": numbers}

    def ml(name: str, kind: str, tensor: Any, right: Check) -> Form:
        load = Load("/v2/models/identity/infer", msgspec.json.encode({"inputs": [tensor]}), JSON)
        return Form(MLSERVER, name, lambda model, _: Entrant(mlserver(kind, model, 0), load, right))

    def lit(name: str, kind: str, load: Load, right: Check) -> Form:
        return Form(LITSERVE, name, lambda model, workers: Entrant(
            litserve(kind, "fast", 1, model, workers), load, right))  # fmt: skip

    def bento(name: str, kind: str, load: Load, right: Check) -> Form:
        return Form(BENTOML, name, lambda model, workers: Entrant(bentoml(kind, model, workers), load, right))

    in_json = Load("/predict", msgspec.json.encode({"image": text}), JSON)
    raw = Load("/predict", TENSOR, {"content-type": "application/octet-stream"})
    return [
        ml("MLServer, base64", "Images", {**images, "data": [text]}, _decoded("outputs", 0, "data", 0)),
        ml("MLServer, numbers in JSON", "Arrays", arrays, _numbers("outputs", 0, "data")),
        lit("LitServe, a form's file", "Uploads", _form(TENSOR), TENSOR.__eq__),
        lit("LitServe, base64", "Images", in_json, _decoded("image")),
        bento("BentoML, raw bytes", "Images", raw, TENSOR.__eq__),
        bento("BentoML, numbers in JSON", "ArrayImages", Load(
            "/predict", msgspec.json.encode({"data": array.reshape(shape).tolist()}), JSON), _numbers()),
    ]  # fmt: skip


def oip_row(model: Path) -> Load:
    """The row as a call of the Open Inference Protocol, on the path that every server of the protocol has."""
    tensor = {"name": names_of(model)[0], "shape": [1, len(ROW)], "datatype": "FP32", "data": ROW}
    return Load(f"/v2/models/{model.stem}/infer", msgspec.json.encode({"inputs": [tensor]}), JSON)


def right_at(model: Path, *path: str | int) -> Check:
    """Whether the JSON has at `path` what the model itself says of the row."""
    expected = answer_of(model, [ROW])[0]
    return lambda body: bool(np.allclose(_at(body, path), expected, atol=1e-5))


def _decoded(*path: str | int) -> Check:
    return lambda body: base64.b64decode(_at(body, path)) == TENSOR


def _numbers(*path: str | int) -> Check:
    return lambda body: np.array(_at(body, path), dtype="<f4").tobytes() == TENSOR


def _at(body: bytes, path: Sequence[str | int]) -> Any:
    found = msgspec.json.decode(body)
    for step in path:
        found = found[step]
    return found


def _form(content: bytes) -> Load:
    edge = b"a-line-between-parts"
    head = b'content-disposition: form-data; name="image"; filename="image"\r\ncontent-type: application/octet-stream'
    body = b"--%b\r\n%b\r\n\r\n%b\r\n--%b--\r\n" % (edge, head, content, edge)
    return Load("/predict", body, {"content-type": f"multipart/form-data; boundary={edge.decode()}"})
