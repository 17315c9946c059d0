"""A handler that only copies: reads the body, sends the tensor's bytes behind a fixed head."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

HEAD = (
    b'{"model_name":"identity","model_version":"1","outputs":[{"name":"output","datatype":"FP32",'
    b'"shape":[1,3,224,224],"parameters":{"binary_data_size":602112}}]}'
)


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    if scope["type"] != "http":
        return  # uvicorn asks for a lifespan, and goes on without one
    parts = []
    while True:
        message = await receive()
        parts.append(message["body"])
        if not message.get("more_body"):
            break
    body = memoryview(b"".join(parts))
    start = int(dict(scope["headers"])[b"inference-header-content-length"])
    answer = b"".join((HEAD, body[start:]))
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", b"%d" % len(answer)),
        (b"inference-header-content-length", b"%d" % len(HEAD)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
