"""HTTP requests that have come whole: the app answers one in its turn, and what does not end there is uvicorn's."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from mlpatterns.prompt import Begun, Standby
from mlpatterns.server.exchange import Receive, Scope, Send

__all__ = ["Turn"]


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

    def have(self, standby: Standby) -> None:
        """The turn in the lane."""
        if self.cycle is not None:
            return  # its connection could not wait for this
        connection = self.connection
        connection.turn = None
        if connection.transport.is_closing() or not standby.ready():
            self.apart()
            return
        try:
            begun = standby.begin(connection.app(self.scope, self.receive, self.send))
        except BaseException as error:
            self._end(_raise(error))
            return
        if begun is not None:
            self._keep(standby.go_on(begun, self.become().run_asgi(_rest(begun))))
        elif not self._complete():
            self._end(_nothing)

    def _complete(self) -> bool:
        cycle = self.cycle
        if cycle is None:
            return self.answered
        if cycle.response_complete:
            cycle.on_response = _over  # it holds the connection, which holds the cycle
        return cycle.response_complete

    def _end(self, app: Any) -> None:
        """Ends as uvicorn ends what an app did: what is not complete is said in the log and to the client."""
        self._keep(asyncio.get_running_loop().create_task(self.become().run_asgi(app)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        """As uvicorn keeps its own: it waits for them when it stops."""
        tasks = self.connection.server_state.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def _over() -> None:
    """There is nothing more to say of an answer."""


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """An app that has done all it does."""


def _rest(begun: Begun) -> Any:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await begun.rest()

    return app


def _raise(error: BaseException) -> Any:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    return app
