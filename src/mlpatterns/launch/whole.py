"""Bodies and answers handed over whole, in one call each.

An app that has the whole answer may hand it over by the ASGI extension `mlpatterns.answer`, which leaves out what
uvicorn must do for an app that it cannot trust: each header checked by two expressions, two coroutines, two messages.
`mlpatterns.body` is the same for a body that has come whole.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from mlpatterns.launch.turns import Turn
from mlpatterns.server.exchange import ANSWER_EXTENSION, BODY_EXTENSION, Header, Receive, Send

__all__ = ["EXTENSIONS", "heads"]


def answer(send: Send, status: int, headers: tuple[Header, ...], prediction_id: bytes, body: bytes) -> bool:
    """Writes a whole answer. False if it must go out by `send`, as ASGI has it: something stands between the app and
    this connection, or the connection is in a state that wants uvicorn's own care.

    Raises:
        ValueError: a header holds a line break.
    """
    cycle = _behind(send)
    if type(cycle) is Turn:
        connection, state = cycle.connection, cycle.connection.server_state
        if cycle.answered or connection.flow.write_paused or cycle.scope["method"] == "HEAD":
            return False
        connection.transport.write_whole(_whole(status, headers, state.default_headers, prediction_id, body))
        cycle.answered = True
        state.total_requests += 1
        return True
    if (
        type(cycle) is not RequestResponseCycle
        or cycle.response_started
        or cycle.disconnected
        or not cycle.keep_alive
        or cycle.flow.write_paused
        or cycle.scope["method"] == "HEAD"
    ):
        return False
    whole = _whole(status, headers, cycle.default_headers, prediction_id, body)
    cycle.response_started = cycle.response_complete = True
    cycle.transport.write_whole(whole)  # type: ignore[attr-defined]
    cycle.message_event.set()
    cycle.on_response()
    return True


def _whole(status: int, headers: tuple[Header, ...], default: list[Header], prediction_id: bytes, body: bytes) -> bytes:
    head = heads.of(status, headers, default)
    return b"%bcontent-length: %d\r\nx-mlp-prediction-id: %b\r\n\r\n%b" % (head, len(body), prediction_id, body)


def body(receive: Receive) -> bytes | None:
    """The whole body of a request, or None if it must be received as ASGI has it: it is not complete, or something
    stands between the app and this connection."""
    cycle = _behind(receive)
    if type(cycle) is Turn:
        whole, cycle.body = cycle.body, None
        return whole
    if (
        type(cycle) is not RequestResponseCycle
        or cycle.more_body
        or cycle.waiting_for_100_continue
        or cycle.disconnected
        or cycle.response_complete
    ):
        return None
    whole = bytes(cycle.body)
    cycle.body = bytearray()
    cycle.flow.resume_reading()
    cycle.message_event.clear()
    return whole


def _behind(asked: Send | Receive) -> Any:
    """Whose method the app was given: a Turn, the cycle that one has become, or whatever stands between."""
    owner = getattr(asked, "__self__", None)
    return owner.cycle or owner if type(owner) is Turn else owner


class Heads:
    """The heads of answers as far as they repeat; uvicorn's own headers hold the date, so a head lasts a second."""

    def __init__(self) -> None:
        self._default: list[Header] = []
        self._known: dict[tuple[int, tuple[Header, ...]], bytes] = {}

    def of(self, status: int, headers: tuple[Header, ...], default: list[Header]) -> bytes:
        if default is not self._default:
            self._default = default
            self._known.clear()
        key = (status, headers)
        head = self._known.get(key)
        if head is None:
            head = self._known[key] = _head(status, (*default, *headers))
        return head


def _head(status: int, headers: tuple[Header, ...]) -> bytes:
    if any(b"\n" in part or b"\r" in part for header in headers for part in header):
        raise ValueError("a header holds a line break")
    return b"".join([STATUS_LINE[status], *[b"%b: %b\r\n" % header for header in headers]])


heads = Heads()
EXTENSIONS: dict[str, Any] = {ANSWER_EXTENSION: answer, BODY_EXTENSION: body}
