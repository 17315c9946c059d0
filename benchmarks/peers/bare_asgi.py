"""The least that can answer: msgspec in, `session.run`, msgspec out, two headers. No checks, ids, limits or metrics.

`GET /health/live` says that the process answers.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # its fastest setting for one row: no hand-over to another thread
session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name


class Body(msgspec.Struct):
    data: list[list[float]]


decode = msgspec.json.Decoder(Body).decode
encode = msgspec.json.Encoder().encode


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    if scope["type"] != "http":
        return  # uvicorn asks for a lifespan, and goes on without one
    if scope["path"] == "/health/live":
        await answer(send, b'{"live":true}')
        return
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    rows = np.array(decode(body).data, dtype=np.float32)
    found = session.run(["probabilities"], {name: rows})[0].tolist()
    await answer(send, encode({"prediction": found[0] if len(found) == 1 else found}))


async def answer(send: Callable[[Any], Awaitable[None]], body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
