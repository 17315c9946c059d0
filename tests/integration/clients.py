"""Clients that others wrote, as programs of their own: `clients.py NAME PORT TOKEN` writes what they see as JSON.

They run apart from the tests, since what they are generated from would meet ours in one process.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np

DTYPES: dict[str, Any] = {
    "BOOL": bool, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "INT8": np.int8,
    "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
ROWS = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)


def tensors() -> dict[str, Any]:
    """One array for each datatype, with its largest and its smallest value."""
    found: dict[str, Any] = {}
    for name, dtype in DTYPES.items():
        bounds = (False, True) if dtype is bool else limits(np.dtype(dtype))
        found[name] = np.array([bounds, bounds[::-1]], dtype)
    found["BYTES"] = np.array([[b"", b"\x00\xff"], ["é".encode(), b"x" * 300]], dtype=object)
    return found


def limits(dtype: Any) -> tuple[Any, Any]:
    bounds = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return bounds.min, bounds.max


def same(sent: Any, came: Any) -> bool:
    return bool(sent.shape == came.shape and sent.dtype == came.dtype and sent.tolist() == came.tolist())


# ---- tritonclient over HTTP ---------------------------------------------------------------------------------------


def inputs_of(http: Any, arrays: dict[str, Any], *, binary: bool = True) -> list[Any]:
    made = []
    for datatype, array in arrays.items():
        tensor = http.InferInput(datatype.lower(), list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=binary)
        made.append(tensor)
    return made


def scored(http: Any, rows: Any = ROWS, *, binary: bool = True) -> list[Any]:
    tensor = http.InferInput("input", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return [tensor]


def tritonclient_http(port: int, token: str) -> dict[str, Any]:
    import tritonclient.http as http

    client = http.InferenceServerClient(f"127.0.0.1:{port}", network_timeout=20, connection_timeout=20)
    arrays, said = tensors(), described(client)
    answer = client.infer("echo", inputs_of(http, arrays), request_id="r1")
    said["every datatype comes back"] = [
        name for name, array in arrays.items() if same(array, answer.as_numpy(name.lower()))
    ]
    said["the id comes back"] = answer.get_response()["id"]
    empty = {name: array[:0] for name, array in arrays.items()}
    answer = client.infer("echo", inputs_of(http, empty))
    said["an empty batch"] = {tuple(answer.as_numpy(name.lower()).shape) for name in arrays} == {(0, 2)}
    for way in ("gzip", "deflate"):
        answer = client.infer("echo", inputs_of(http, arrays), request_compression_algorithm=way,
                              response_compression_algorithm=way)  # fmt: skip
        said[way] = all(same(array, answer.as_numpy(name.lower())) for name, array in arrays.items())
    said["json both ways"] = client.infer(
        "scores", scored(http, binary=False), outputs=[http.InferRequestedOutput("sums", binary_data=False)]
    ).get_response()["outputs"]
    mixed = client.infer("scores", scored(http), outputs=[
        http.InferRequestedOutput("rows", binary_data=False), http.InferRequestedOutput("sums"),
    ])  # fmt: skip
    said["one output in json, one in binary"] = [mixed.as_numpy(name).tolist() for name in ("rows", "sums")]
    said["in the background"] = [
        pending.get_result().as_numpy("sums").tolist()
        for pending in [client.async_infer("scores", scored(http)) for _ in range(3)]
    ]
    said["a body made by hand"] = by_hand(http, client)
    said["refused"] = refused(http, client)
    said |= managed(client, {"x-admin-token": token})
    client.close()
    return said


def described(client: Any) -> dict[str, Any]:
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model ready": [
            client.is_model_ready("scores"),
            client.is_model_ready("scores", "9"),
            client.is_model_ready("none"),
        ],
        "server": client.get_server_metadata()["extensions"],
        "metadata": client.get_model_metadata("scores")["inputs"],
        "config": client.get_model_config("scores"),
    }


def by_hand(http: Any, client: Any) -> Any:
    body, length = http.InferenceServerClient.generate_request_body(scored(http))
    answer = client._post("v2/models/scores/infer", body, {"Inference-Header-Content-Length": length}, None)
    head = int(answer.get("Inference-Header-Content-Length"))
    parsed = http.InferenceServerClient.parse_response_body(answer.read(), header_length=head)
    return parsed.as_numpy("sums").tolist()


def refused(http: Any, client: Any) -> dict[str, str]:
    """What the client makes of our errors."""
    classes = http.InferRequestedOutput("sums", class_count=2)
    shared = http.InferInput("input", [1, 4], "FP32")
    shared.set_shared_memory("region", 16)
    asks = {
        "unknown model": lambda: client.infer("none", scored(http)),
        "wrong shape": lambda: client.infer("scores", scored(http, ROWS[:, :3])),
        "classification": lambda: client.infer("scores", scored(http), outputs=[classes]),
        "shared memory": lambda: client.infer("scores", [shared]),
        "shared memory status": client.get_system_shared_memory_status,
        "load without a token": lambda: client.load_model("scores"),
    }
    return {name: error_of(ask) for name, ask in asks.items()}


def error_of(ask: Any) -> str:
    from tritonclient.utils import InferenceServerException

    try:
        ask()
    except InferenceServerException as error:
        return f"{error.status()}: {error.message()}"
    return "no error"


def managed(client: Any, headers: dict[str, str]) -> dict[str, Any]:
    """Statistics, index, unload and load."""
    said: dict[str, Any] = {
        "statistics": client.get_inference_statistics("scores")["model_stats"][0]["inference_stats"]
    }
    said["statistics of all"] = [one["name"] for one in client.get_inference_statistics()["model_stats"]]
    said["index"] = client.get_model_repository_index()
    client.unload_model("scores", headers=headers)
    said["unloaded"] = [client.is_model_ready("scores"), client.get_model_repository_index()]
    said["with a config"] = error_of(lambda: client.load_model("scores", headers=headers, config="{}"))
    client.load_model("scores", headers=headers)
    said["loaded"] = [client.is_model_ready("scores"), client.get_model_metadata("scores")["versions"]]
    return said


async def tritonclient_http_aio(port: int, token: str) -> dict[str, Any]:
    import tritonclient.http as http
    from tritonclient.http import aio

    arrays, headers = tensors(), {"authorization": f"Bearer {token}"}
    async with aio.InferenceServerClient(f"127.0.0.1:{port}") as client:
        said: dict[str, Any] = {
            "ready": await client.is_server_ready(),
            "config": await client.get_model_config("scores"),
        }
        answers = await asyncio.gather(*(client.infer("echo", inputs_of(http, arrays)) for _ in range(20)))
        said["twenty at once"] = sum(
            all(same(array, answer.as_numpy(name.lower())) for name, array in arrays.items()) for answer in answers
        )
        for way in ("gzip", "deflate"):
            answer = await client.infer("echo", inputs_of(http, arrays), request_compression_algorithm=way,
                                        response_compression_algorithm=way)  # fmt: skip
            said[way] = all(same(array, answer.as_numpy(name.lower())) for name, array in arrays.items())
        said["index"] = await client.get_model_repository_index()
        await client.load_model("scores", headers=headers)
        said["versions"] = (await client.get_model_metadata("scores"))["versions"]
        await client.unload_model("scores", headers=headers)
        said["unloaded"] = await client.is_model_ready("scores")
        await client.load_model("scores", headers=headers)
        stats = await client.get_inference_statistics("echo")
        said["counted"] = stats["model_stats"][0]["inference_stats"]["success"]["count"] >= 22
    return said


# ---- a client generated from the protocol's own document ----------------------------------------------------------


def open_inference(port: int, token: str) -> dict[str, Any]:
    from open_inference.openapi.client import OpenInferenceClient
    from open_inference.openapi.types import InferenceRequest

    client = OpenInferenceClient(base_url=f"http://127.0.0.1:{port}")
    client.check_server_readiness()
    client.check_model_readiness("scores")
    tensor = {"name": "input", "shape": [2, 4], "datatype": "FP32", "data": ROWS.ravel().tolist()}
    answer = client.model_infer("scores", request=InferenceRequest.parse_obj({"id": "o1", "inputs": [tensor]}))
    metadata = client.read_model_metadata("scores")
    every = [{"name": name.lower(), "shape": [1, 2], "datatype": name, "data": [1, 0]} for name in DTYPES]
    every.append({"name": "bytes", "shape": [1, 2], "datatype": "BYTES", "data": ["a", "b"]})
    echoed = client.model_infer("echo", request=InferenceRequest.parse_obj({"id": "o2", "inputs": every}))
    return {
        "every datatype comes back": [one.datatype for one in echoed.outputs if len(one.data.__root__) == 2],
        "server": client.read_server_metadata().name,
        "metadata": [metadata.name, [(one.name, one.datatype, one.shape) for one in metadata.inputs or ()]],
        "answer": [answer.id, [(one.name, one.shape, one.data.__root__) for one in answer.outputs]],
    }


CLIENTS = {
    "tritonclient.http": tritonclient_http,
    "tritonclient.http.aio": lambda port, token: asyncio.run(tritonclient_http_aio(port, token)),
    "open_inference": open_inference,
}

if __name__ == "__main__":
    name, port, token = sys.argv[1:]
    sys.stdout.write(json.dumps(CLIENTS[name](int(port), token), default=str))
