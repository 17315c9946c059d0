"""Limits how many gRPC messages arrive at the same time, and ends the oldest call when there are more."""

from __future__ import annotations

import asyncio

from mlpatterns.errors import Overloaded
from mlpatterns.server.grpc.call import GrpcCall

__all__ = ["Arrivals"]


class Arrivals:
    """Reads the messages of calls, at most `most` at the same time.

    When one more call begins to send, the call that has been sending for the longest time is ended, because a client
    that sends slowly must not block others. The deadline of the call, which the guard watches, also limits this time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waits: dict[GrpcCall, asyncio.Timeout] = {}

    async def read(self, call: GrpcCall) -> bytes:
        """Reads the message of `call`.

        Raises:
            InvalidInput: the client has sent no message.
            Overloaded: too many other calls began to send after this one.
        """
        if len(self._waits) >= self._most:
            self._waits.pop(next(iter(self._waits))).reschedule(0.0)  # a dict keeps its keys in order of insertion
        try:
            async with asyncio.timeout(None) as wait:
                self._waits[call] = wait
                try:
                    return await call.read()
                finally:
                    self._waits.pop(call, None)
        except TimeoutError:
            raise Overloaded("too many messages arrive at once, and this one took longest", retry_after=1) from None
