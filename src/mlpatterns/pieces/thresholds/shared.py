"""The parameters that commands set: one document that all workers share, and the operations on it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from types import NoneType

from msgspec import Struct

from mlpatterns.errors import InvalidInput, Unavailable
from mlpatterns.interfaces import Document, Shared
from mlpatterns.pieces.thresholds.parameters import (
    Parameters,
    SetParameters,
    StoredParameters,
    differences,
    from_environment,
    in_force,
    replaced,
    unused_variables,
)
from mlpatterns.predictor import Caller, Operation, Runtime
from mlpatterns.user_errors import SettingsError

__all__ = ["DOCUMENT", "ParametersState", "SharedParameters"]

log = logging.getLogger("mlpatterns")

DOCUMENT = "parameters"  # its key, below the path of the piece


class ParametersState(Struct, frozen=True):
    """The parameters in use.

    Attributes:
        start: the start values.
        warnings: a sentence for each start value that has changed since a command replaced it, and so has no effect;
            or the reason why the stored parameters cannot be used.
        revision: the number of the last change; 0 for the start values.
        by, at: who made the last change, and when.
    """

    thresholds: Mapping[str, float]
    active: Mapping[str, bool]
    stopped: bool
    timeout: float | None
    retries: int
    start: Parameters
    warnings: list[str]
    revision: int
    by: str
    at: float


class SharedParameters:
    """The parameters in use: the start values, until a command sets others.

    Args:
        parts: the names of the parts.
        composed: the values in the code; a part without a value gets the default.
    """

    def __init__(self, parts: tuple[str, ...], composed: Parameters) -> None:
        self.parts, self.composed = parts, composed.checked(parts)
        self.warnings: list[str] = []
        self._shared: Shared[StoredParameters] | None = None
        self._known: tuple[Document[StoredParameters], Parameters] | None = None
        self.operations = (
            Operation("parameters", "query", "public", NoneType, ParametersState, self._state),
            Operation("parameters", "command", "token", SetParameters, ParametersState, self._set),
            Operation("parameters/reset", "command", "token", NoneType, ParametersState, self._reset),
            Operation("parameters/undo", "command", "token", NoneType, ParametersState, self._undo),
        )

    def begin(self, default: float) -> Parameters:
        """The start values: from the environment, otherwise from the code, otherwise the default.

        Args:
            default: the threshold of parts for which the code has none.

        Raises:
            SettingsError: an environment variable is malformed, or `default` is not from 0 to 1.
        """
        if not 0 <= default <= 1:
            raise SettingsError(f"default_threshold must be a number from 0 to 1, not {default}")
        given = self.composed
        thresholds = {name: given.thresholds.get(name, default) for name in self.parts}
        active = {name: given.active.get(name, True) for name in self.parts}
        return from_environment(Parameters(thresholds, active, given.stopped, given.timeout, given.retries))

    async def start(self, runtime: Runtime) -> None:
        self._path, self._begun = runtime.path, self.begin(runtime.settings.default_threshold)
        self._revision = runtime.metrics.gauge(
            "mlpatterns_parameters_revision", "The revision of the parameters in use.",
            workers="newest", piece=runtime.path,
        )  # fmt: skip
        for name in unused_variables(self.parts):
            log.warning("%s names no part of %r; its parts are %s", name, self._path, ", ".join(self.parts))
        self._known, self.warnings = None, []
        self._shared = shared = await runtime.shared(DOCUMENT, StoredParameters, StoredParameters())
        with suppress(Unavailable):  # the store is down: its values apply when it is back
            self.now()
        shared.watch(self._changed)

    def now(self) -> Parameters:
        """The parameters in use.

        Raises:
            Unavailable: the control store could not be read yet.
        """
        document = self._document
        if self._known is None or self._known[0] is not document:
            return self._seen(document)
        return self._known[1]

    @property
    def _document(self) -> Document[StoredParameters]:
        return self._started.document

    @property
    def _started(self) -> Shared[StoredParameters]:
        if self._shared is None:
            raise Unavailable("the parameters are not known before the start", retry_after=1)
        return self._shared

    def _changed(self, document: Document[StoredParameters]) -> None:
        self.now()

    def _seen(self, document: Document[StoredParameters]) -> Parameters:
        before = self._known
        try:
            values, self.warnings = self._usable(document.value), differences(self._begun, document.value)
        except InvalidInput as error:
            values = self._begun if before is None else before[1]
            self.warnings = [f"the parameters in the control store cannot be used, and others hold: {error}"]
        self._known = document, values
        self._revision.set(document.revision)
        if before is not None:
            log.info("%s uses the parameters of revision %d, by %s", self._path, document.revision, document.by)
        for each in self.warnings:
            log.warning("%s: %s; `mlpatterns run --reset-shared` resets what commands have set", self._path, each)
        return values

    def _usable(self, kept: StoredParameters) -> Parameters:
        return in_force(self._begun, kept).checked(self.parts)

    # ---- operations ----

    async def _state(self, _: None, caller: Caller) -> ParametersState:
        """The parameters in use, and the start values."""
        values, document = self.now(), self._document
        return ParametersState(
            values.thresholds, values.active, values.stopped, values.timeout, values.retries,
            self._begun, self.warnings, document.revision, document.by, document.at,
        )  # fmt: skip

    async def _set(self, command: SetParameters, caller: Caller) -> ParametersState:
        """Changes parameters in all workers within a second.

        Raises:
            InvalidInput: a value is out of its range, or is for a part that does not exist.
            Unavailable: the control store does not answer.
        """

        def changed(kept: StoredParameters) -> StoredParameters:
            values = command.on(in_force(self._begun, kept)).checked(self.parts)
            return StoredParameters(values, replaced(command, self._begun, kept))

        await self._started.change(changed, caller.principal or "anonymous")
        return await self._state(None, caller)

    async def _reset(self, _: None, caller: Caller) -> ParametersState:
        """Deletes the values that commands have set, so that the start values apply again.

        Raises:
            Unavailable: the control store does not answer.
        """
        await self._started.change(lambda _: StoredParameters(), caller.principal or "anonymous")
        return await self._state(None, caller)

    async def _undo(self, _: None, caller: Caller) -> ParametersState:
        """Undoes the last change.

        Raises:
            Conflict: there is no change to undo.
            Unavailable: the control store does not answer.
        """
        await self._started.undo(caller.principal or "anonymous")
        return await self._state(None, caller)
