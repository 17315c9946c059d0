"""The messages of calls while they arrive: how many at once, and who must go when there are more."""

from __future__ import annotations

import asyncio

from mlpatterns.errors import Overloaded
from mlpatterns.server.grpc.call import GrpcCall

__all__ = ["Arrivals"]


class Arrivals:
    """Reads the messages of calls, at most `most` at once.

    When there are more, the call that has been sending for longest is ended: a client that sends slowly must not keep
    others out. How long a message may take is bounded by the guard, as all work for a call is.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waits: dict[GrpcCall, asyncio.Timeout] = {}

    async def read(self, call: GrpcCall) -> bytes:
        """The message of `call`.

        Raises:
            InvalidInput: the client has sent none.
            Overloaded: too many others began to send after it.
        """
        if len(self._waits) >= self._most:
            self._waits.pop(next(iter(self._waits))).reschedule(0.0)  # a dict remembers which came first
        try:
            async with asyncio.timeout(None) as wait:
                self._waits[call] = wait
                try:
                    return await call.read()
                finally:
                    self._waits.pop(call, None)
        except TimeoutError:
            raise Overloaded("too many messages arrive at once, and this one took longest", retry_after=1) from None
