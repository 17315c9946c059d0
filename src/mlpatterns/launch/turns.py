"""Requests that have come whole, and the lane in which they have their turn.

All that come in one round of the event loop are read first and then answered in one callback, so that the processor has
the code of the one or of the other at hand; answered each as it was read, they were no faster than with a task each.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from mlpatterns.prompt import Begun, Standby
from mlpatterns.server.exchange import Receive, Scope, Send

__all__ = ["Lane", "Turn"]


class Connection(Protocol):
    """What a turn asks of its connection: all of it uvicorn's, but `turn` and `cycle_of`."""

    app: Any
    cycle: Any
    flow: FlowControl
    server_state: ServerState
    transport: Any
    turn: Turn | None

    def cycle_of(self, turn: Turn) -> RequestResponseCycle: ...
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None: ...


class Turn:
    """A request whose body is here, until its answer is written or its app does anything else: from then on it is a
    `RequestResponseCycle`, which is uvicorn's way.

    Attributes:
        body: None once the app has it.
        answered: the whole answer is written.
        cycle: what it has become, if it has.
    """

    __slots__ = ("answered", "body", "connection", "cycle", "scope")

    def __init__(self, connection: Connection, scope: Scope, body: bytes) -> None:
        self.connection, self.scope = connection, scope
        self.body: bytes | None = body
        self.answered = False
        self.cycle: RequestResponseCycle | None = None

    def become(self) -> RequestResponseCycle:
        if self.cycle is None:
            self.cycle = self.connection.cycle_of(self)
        return self.cycle

    async def receive(self) -> Any:
        return await self.become().receive()

    async def send(self, message: Any) -> None:
        await self.become().send(message)

    def apart(self) -> None:
        """Lets the app answer it in a task of its own."""
        self.connection._start_asgi_task(self.become(), self.connection.app)


class Lane:
    """The turns of all connections of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._standby = Standby(loop)
        self._turns: list[Turn] = []

    def add(self, turn: Turn) -> None:
        if not self._turns:
            self._loop.call_soon(self._all)
        self._turns.append(turn)

    def _all(self) -> None:
        turns, self._turns = self._turns, []
        for turn in turns:
            if turn.cycle is None:  # else its connection could not wait for this
                self._one(turn)

    def _one(self, turn: Turn) -> None:
        connection = turn.connection
        connection.turn = None
        if connection.transport.is_closing() or not self._standby.ready():
            turn.apart()
            return
        try:
            begun = self._standby.begin(connection.app(turn.scope, turn.receive, turn.send))
        except BaseException as error:
            self._apart(turn, _raise(error))
            return
        if begun is not None:
            self._go_on(turn, begun)
        elif turn.answered and turn.cycle is None:
            connection.server_state.total_requests += 1
        else:
            self._apart(turn, _end)

    def _go_on(self, turn: Turn, begun: Begun) -> None:
        async def rest(_scope: Scope, _receive: Receive, _send: Send) -> None:
            await begun.rest()

        _keep(self._standby.go_on(begun, turn.become().run_asgi(rest)), turn)

    def _apart(self, turn: Turn, app: Any) -> None:
        """Ends a turn as uvicorn does that of an app: what is not complete is said in the log and to the client."""
        _keep(self._loop.create_task(turn.become().run_asgi(app)), turn)


def _keep(task: asyncio.Task[None], turn: Turn) -> None:
    """As uvicorn keeps its own: it waits for them when it stops."""
    tasks = turn.connection.server_state.tasks
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _end(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """An app that has done all it does."""


def _raise(error: BaseException) -> Any:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    return app
