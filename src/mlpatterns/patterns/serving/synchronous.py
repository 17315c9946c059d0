"""Synchronous

Need: Wait for the answer before you continue, over REST or gRPC
Group: serving
Book: chapter4_serving_patterns/synchronous_pattern
Mercari: Synchronous
Japanese: 同期推論パターン
When: the caller cannot continue without the answer; some callers use gRPC, and others (people, scripts) use REST
When not: the answer takes longer than a caller waits, or the caller does not need it now: let it fetch the answer later

Diagram:
    script  ── REST ──▶ ┐                 ┌▶ the same model,
            ◀─────────  ├ limits, keys,  ─┤  the same message for a mistake,
    service ── gRPC ──▶ ┘ deadlines       └▶ the same error when time is up

Commands:
    mlpatterns train iris_sklearn_svc
    mlpatterns run synchronous --grpc-port 9000
    mlpatterns demo synchronous
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlpatterns import Evidence, PredictionError, Predictor, Row, chosen_model, running, serve

if TYPE_CHECKING:
    import httpx

SERVED = "synchronous"  # the system that the demo runs
SAME = "all 150 flowers get the same digits over the simple API, REST (JSON, binary) and gRPC"
ALIKE = "both faces describe the model alike, to its digest"
LATE = "a deadline that passes is told on both"
MISTAKE = "a mistake gets the same sentence on both"


def build() -> Predictor:
    """The model that `--model` names, else the champion of iris_sklearn_svc; `--grpc-port` serves it over gRPC too."""
    return chosen_model("iris_sklearn_svc")


app = serve(build)


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Runs a process that serves HTTP and gRPC, and sends the same requests to both."""
    from mlpatterns import RemoteModel
    from mlpatterns.testing import process

    name = build().name
    async with process(SERVED, grpc=True) as server:
        rest, grpc = RemoteModel(server.url, name), RemoteModel(f"grpc://{server.grpc}", name)
        async with running(rest, grpc):
            first = await same_digits(client, server.http, rest, grpc), alike(rest, grpc)
            return Evidence("synchronous", (*first, await late(server.http, grpc), await mistake(server.http, grpc)))


async def same_digits(client: httpx.AsyncClient, http: httpx.AsyncClient, rest: Predictor, grpc: Predictor) -> Row:
    """`client` calls the app in this process, so that a server that is wrong in the same way on HTTP and gRPC fails."""
    import numpy as np

    data, output = flowers(), rest.metadata.primary_output
    simple = [(await asker.post("/predict", json={"data": data.tolist()})).json() for asker in (client, http)]
    answer = (await post(http, rest)).json()
    found = [np.array(body.get("prediction"), np.float32) for body in simple]
    found += [np.array(tensor["data"], np.float32) for tensor in answer["outputs"] if tensor["name"] == output]
    found += [await predict(remote) for remote in (rest, grpc)]
    first = found[0].ravel()
    same = sum(np.array_equal(first, other.ravel()) for other in found)
    varied = len(np.unique(first)) > len(data) // 3  # else a constant answer would pass
    return Row(SAME, "5 of 5 alike", f"{same} of {len(found)} alike", same == len(found) == 5 and varied)


def alike(rest: Predictor, grpc: Predictor) -> Row:
    same = rest.metadata == grpc.metadata and None is not rest.identity() == grpc.identity()
    return Row(ALIKE, str(rest.identity())[:8], str(grpc.identity())[:8], same)


async def late(http: httpx.AsyncClient, grpc: Predictor) -> Row:
    asked = {"parameters": {"timeout": 1}}  # microsecond
    found = f"{(await post(http, grpc, **asked)).status_code}, {(await error_of(grpc, **asked))[0]}"
    return Row(LATE, "504, DEADLINE", found, found == "504, DEADLINE")


async def mistake(http: httpx.AsyncClient, grpc: Predictor) -> Row:
    answer, (code, sentence) = await post(http, grpc, outputs=[{"name": "hue"}]), await error_of(grpc, outputs=("hue",))
    found, same = f"{answer.status_code}, {code}", "hue" in sentence and answer.json().get("error") == sentence
    return Row(MISTAKE, "400, INVALID", found, found == "400, INVALID" and same)


async def post(http: httpx.AsyncClient, remote: Predictor, **fields: Any) -> httpx.Response:
    """Sends all flowers to the model as JSON; `fields` are additional fields of the request."""
    data, spec = flowers(), remote.metadata.inputs[0]
    tensor = {"name": spec.name, "shape": data.shape, "datatype": spec.datatype, "data": data.tolist()}
    return await http.post(f"/v2/models/{remote.name}/infer", json={"inputs": [tensor], **fields})


async def predict(remote: Predictor, **fields: Any) -> Any:
    from mlpatterns.testing import request

    answer = await remote.predict(request({remote.metadata.inputs[0].name: flowers()}, **fields))
    return answer.outputs[remote.metadata.primary_output]


async def error_of(remote: Predictor, **fields: Any) -> tuple[str, str]:
    """The code and the message of the error; ``answered`` and no message if there is none."""
    try:
        await predict(remote, **fields)
    except PredictionError as error:
        return error.code.value, error.message
    return "answered", ""


def flowers() -> Any:
    """The 150 rows of iris."""
    from sklearn.datasets import load_iris

    return load_iris().data.astype("float32")
