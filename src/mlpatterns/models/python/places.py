"""Where the functions of a PythonModel run: on the event loop, in threads, or in processes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol

from mlpatterns.errors import DeadlineExceeded
from mlpatterns.metadata import Array
from mlpatterns.models.python.functions import Functions
from mlpatterns.models.python.outputs import Outputs
from mlpatterns.predictor import Runtime
from mlpatterns.user_code import await_user_code, call_user_code

__all__ = ["ErrorInChild", "OnLoop", "OnThread", "Place"]

Arrays = Mapping[str, Array]


class Place(Protocol):
    """An executor of a model's code."""

    async def open(self, runtime: Runtime) -> None: ...
    async def close(self) -> None: ...
    async def call(self, inputs: Arrays, parameters: Mapping[str, Any], deadline: float | None) -> dict[str, Array]:
        """The declared outputs.

        Raises:
            PredictionError: the model's code raised it, or the outputs are not as declared.
            Exception: any other error of the model's code.
        """
        ...


class ErrorInChild(Exception):
    """An error of the model's code in a child process: the text for the client, and the child's traceback as text."""

    def __init__(self, client_text: str, trace: str) -> None:
        super().__init__(client_text)
        self.client_text, self.trace = client_text, trace


class OnLoop:
    """Runs `predict` on the event loop itself, and `load` in a thread."""

    def __init__(self, functions: Functions, outputs: Outputs) -> None:
        self._functions, self._outputs = functions, outputs
        self._state: Any = None

    async def open(self, runtime: Runtime) -> None:
        made = await runtime.offload(self._functions.load)  # in a thread, so that the loop is not blocked
        self._state = await await_user_code(made) if inspect.isawaitable(made) else made

    async def close(self) -> None:
        self._state = None

    async def call(self, inputs: Arrays, parameters: Mapping[str, Any], deadline: float | None) -> dict[str, Array]:
        answer = call_user_code(self._functions.predict, self._state, inputs, parameters)
        if inspect.isawaitable(answer):
            answer = await await_user_code(answer)
        return self._outputs.checked(answer, inputs)


class OnThread:
    """Runs in the runtime's threads. A call that is cancelled while it waits for a thread never begins."""

    def __init__(self, functions: Functions, outputs: Outputs) -> None:
        self._functions, self._outputs = functions, outputs
        self._state: Any = None

    async def open(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._state = await runtime.offload(self._functions.load)

    async def close(self) -> None:
        self._state = None

    async def call(self, inputs: Arrays, parameters: Mapping[str, Any], deadline: float | None) -> dict[str, Array]:
        clock, state = self._runtime.clock, self._state

        def work() -> dict[str, Array]:
            if deadline is not None and clock.monotonic() >= deadline:
                raise DeadlineExceeded  # the call waited for a thread too long
            return self._outputs.checked(call_user_code(self._functions.predict, state, inputs, parameters), inputs)

        return await self._runtime.offload(work)
