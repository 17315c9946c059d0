"""Triton's own clients, in a process of their own: `triton.py KIND HTTP_PORT GRPC_PORT` exits 0 if all is well."""

import asyncio
import inspect
import sys
from typing import Any

import numpy as np
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

VALUES: dict[str, Any] = {
    "BOOL": np.array([[True, False]]),
    **{name: np.array([[np.iinfo(kind).min, np.iinfo(kind).max]], kind) for name, kind in (
        ("UINT8", np.uint8), ("UINT16", np.uint16), ("UINT32", np.uint32), ("UINT64", np.uint64),
        ("INT8", np.int8), ("INT16", np.int16), ("INT32", np.int32), ("INT64", np.int64))},
    **{name: np.array([[0.5, np.inf]], kind) for name, kind in (
        ("FP16", np.float16), ("FP32", np.float32), ("FP64", np.float64))},
    "BYTES": np.array([[b"\xff\x00", "é".encode()]], dtype=object),
}  # fmt: skip


async def done(value: Any) -> Any:
    """What a client gives, whether it is asyncio's or not."""
    return await value if inspect.isawaitable(value) else value


async def check(client: Any, kind: Any, *, over_grpc: bool) -> None:
    assert await done(client.is_server_live())
    assert await done(client.is_server_ready())
    assert await done(client.is_model_ready("same"))
    assert await done(client.is_model_ready("same", "2"))
    about = await done(client.get_server_metadata())
    assert (about.name if over_grpc else about["name"]) == "mlpatterns"
    described = await done(client.get_model_metadata("same"))
    inputs = described.inputs if over_grpc else described["inputs"]
    assert len(inputs) == len(VALUES)
    answer = await done(client.infer("same", tensors(kind, VALUES), request_id="7"))
    for name, value in VALUES.items():
        np.testing.assert_array_equal(answer.as_numpy(f"{name}_back"), value)
    assert (answer.get_response().id if over_grpc else answer.get_response()["id"]) == "7"
    asked = [kind.InferRequestedOutput(name) for name in ("FP16_back", "BYTES_back")]
    few = await done(client.infer("same", tensors(kind, VALUES), outputs=asked, timeout=5_000_000))
    np.testing.assert_array_equal(few.as_numpy("FP16_back"), VALUES["FP16"])
    assert few.as_numpy("INT8_back") is None
    await refused(client.infer, "there is no model 'other'", "other", tensors(kind, VALUES))
    await refused(client.infer, "has no version '9'", "same", tensors(kind, VALUES), model_version="9")
    await refused(client.infer, "missing input 'BYTES'", "same", tensors(kind, VALUES)[:-1])
    packed = {"compression_algorithm": "gzip"} if over_grpc else {"request_compression_algorithm": "gzip"}
    again = await done(client.infer("same", tensors(kind, VALUES), **packed))
    np.testing.assert_array_equal(again.as_numpy("INT64_back"), VALUES["INT64"])
    later = await done(client.infer("later", tensors(kind, VALUES)))
    assert later.as_numpy("job_id").tolist() == [b"j1"]
    said = later.get_response()
    assert (said.parameters["status"].string_param if over_grpc else said["parameters"]["status"]) == "accepted"
    await check_management(client, over_grpc=over_grpc)
    await done(client.close())


async def check_management(client: Any, *, over_grpc: bool) -> None:
    admin = {"headers": {"x-admin-token": "t0ken"}}
    said = await done(client.get_model_config("same", "2"))
    config = said.config if over_grpc else said
    types = [one.data_type for one in config.input] if over_grpc else [one["data_type"] for one in config["input"]]
    assert len(types) == len(VALUES)
    assert types[-1] == (13 if over_grpc else "TYPE_STRING")
    said = await done(client.get_inference_statistics("same"))
    [stats] = said.model_stats if over_grpc else said["model_stats"]
    assert (stats.inference_count if over_grpc else stats["inference_count"]) > 0
    await refused(client.unload_model, "send the admin token", "same")
    await refused(client.load_model, "send neither a config nor files", "same", config="{}", **admin)
    assert await states(client, over_grpc=over_grpc) == {"same": "READY", "later": "READY"}
    await done(client.unload_model("same", **admin))
    assert not await done(client.is_model_ready("same"))
    assert await states(client, over_grpc=over_grpc) == {"same": "UNAVAILABLE", "later": "READY"}
    await done(client.load_model("same", **admin))
    assert await done(client.is_model_ready("same"))


async def states(client: Any, *, over_grpc: bool) -> dict[str, str]:
    index = await done(client.get_model_repository_index())
    return {one.name: one.state for one in index.models} if over_grpc else {one["name"]: one["state"] for one in index}


async def refused(call: Any, sentence: str, *arguments: Any, **options: Any) -> None:
    text = ""
    try:
        await done(call(*arguments, **options))
    except InferenceServerException as error:
        text = error.message()
    assert sentence in text, text or "it was answered"


def tensors(kind: Any, values: dict[str, Any]) -> list[Any]:
    made = []
    for name, value in values.items():
        assert np_to_triton_dtype(value.dtype) == name
        made.append(kind.InferInput(name, list(value.shape), name))
        made[-1].set_data_from_numpy(value)
    return made


async def main(which: str, http: str, grpc: str) -> None:
    match which:
        case "grpc":
            import tritonclient.grpc as kind
        case "grpc.aio":
            import tritonclient.grpc.aio as kind
        case "http":
            import tritonclient.http as kind
        case "http.aio":
            import tritonclient.http.aio as kind
    over_grpc = which.startswith("grpc")
    client = kind.InferenceServerClient(f"127.0.0.1:{grpc if over_grpc else http}")
    await check(client, kind, over_grpc=over_grpc)


asyncio.run(main(*sys.argv[1:]))
