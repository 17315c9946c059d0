"""HotSwap: a predictor that switches to the version that its alias names, while it serves.

While one version serves, the next is fetched, verified, loaded, warmed and compared with its golden set. Then one
assignment makes it serve, and the previous version is stopped when its last request has ended. So a swap makes no
request fail, and each answer comes from one version, which the answer names. If the next version fails a step, the
previous version continues to serve, and health, metrics and log report the reason. A process that starts loads the
version that served last, here or in another process, so it refuses the same versions as the other processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import NoneType

from msgspec import Struct

from mlpatterns.base import BasePredictor
from mlpatterns.errors import Conflict, MlpatternsError, NotStarted, Unavailable
from mlpatterns.metadata import ModelMetadata
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.models.swap.document import SwapDocument
from mlpatterns.models.swap.follower import Follower
from mlpatterns.models.swap.swapper import LoadedVersion, Make, Swapper
from mlpatterns.models.swap.trouble import command_error
from mlpatterns.predictor import Caller, Health, InferenceRequest, InferenceResponse, Operation, Runtime
from mlpatterns.references import Reference, RegisteredReference, parse_reference
from mlpatterns.user_errors import CompositionError

__all__ = ["HotSwap", "SwapState", "SwapTo"]


class SwapTo(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of the command `swap`.

    Attributes:
        version: the version to serve from now on.
        force: whether to serve it even if its inputs, outputs or labels differ, which breaks clients.
    """

    version: int
    force: bool = False


class SwapState(Struct, frozen=True):
    """Which version serves, and why.

    Attributes:
        model: the name of the HotSwap.
        follows: the reference of the HotSwap.
        version: the version that serves, or None while no version serves.
        identity: the identity of the version that serves.
        pinned: the version that must serve regardless of the alias, or None.
        previous: the version that a rollback would make serve, or None.
        trouble: why the version that should serve does not; empty if it does.
    """

    model: str
    follows: str
    version: int | None
    identity: str | None
    pinned: int | None
    previous: int | None
    trouble: str


class HotSwap(BasePredictor):
    """Serves the version that an alias names, and follows it.

    Its commands pin a version, roll back to the previous version, and follow the alias again. They are written to the
    control store (setting `control`), so that all workers and replicas that share it do the same within a second.

    Args:
        reference: ``name`` or ``name@alias``; with ``name:3``, version 3 serves until a command changes it.
        make: builds the predictor of one version: it must pass the reference that it gets, such as ``name:3``, to an
            OnnxModel. It may wrap the OnnxModel in pieces that have no operations.
        check_every: seconds between two checks of the registry and of the control store.
        require_golden: whether to refuse a version that has no golden set.
        name: the name to serve it under; by default the model's name.

    Raises:
        CompositionError: `reference` is a file, which has no versions, or `check_every` is not greater than 0.
        UnknownName, ModelFileError: at start: there is no such model, or neither the version that should serve nor the
            version that served last can be served. If only the registry does not answer, the start succeeds, and the
            piece is ready later.
    """

    def __init__(
        self,
        reference: str | Reference,
        make: Make = OnnxModel,
        *,
        check_every: float = 0.25,
        require_golden: bool = False,
        name: str | None = None,
    ) -> None:
        parsed = parse_reference(reference) if isinstance(reference, str) else reference
        if not isinstance(parsed, RegisteredReference):
            raise CompositionError(f"a HotSwap serves the versions of a registered model, and {parsed} has none")
        if check_every <= 0:
            raise CompositionError("check_every must be greater than 0 seconds")
        super().__init__(name or parsed.name)
        self.reference: RegisteredReference = parsed
        self.make, self.check_every, self.require_golden = make, check_every, require_golden
        self.operations = (
            Operation("swap", "query", "public", NoneType, SwapState, self._state),
            Operation("swap", "command", "token", SwapTo, SwapState, self._to),
            Operation("swap/rollback", "command", "token", NoneType, SwapState, self._roll_back),
            Operation("swap/follow", "command", "token", NoneType, SwapState, self._follow_again),
        )
        self._follower: Follower | None = None

    # ---- a predictor ----

    @property
    def metadata(self) -> ModelMetadata:
        if self._serving is None:
            raise NotStarted(self.name)
        return self._serving.metadata

    def identity(self) -> str | None:
        return None if self._serving is None else self._serving.predictor.identity()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        serving = self._serving
        if serving is None:
            raise Unavailable(f"the model {self.name!r} is not ready yet", retry_after=1)
        serving.in_flight += 1
        try:
            return serving.named(await serving.predictor.predict(request))
        finally:
            serving.in_flight -= 1

    def overall_health(self, below: Sequence[Health]) -> Health:
        """Ready while the version that serves is ready. The reason includes `trouble`."""
        return super().overall_health([*below, Health(True, "" if self._follower is None else self._follower.trouble)])

    @property
    def _serving(self) -> LoadedVersion | None:
        return None if self._follower is None else self._follower.swapper.serving

    async def start(self, runtime: Runtime) -> None:
        swapper = Swapper(
            self.name, self.reference.name, self.make, runtime,
            require_golden=self.require_golden, swapped=self._swapped,
        )  # fmt: skip
        shared = await runtime.shared("swap", SwapDocument, SwapDocument())
        self._follower = follower = Follower(self.reference, swapper, shared, check_every=self.check_every)
        await follower.begin()
        runtime.keep("follow", follower.follow)

    async def stop(self) -> None:
        follower, self._follower, self.children = self._follower, None, {}
        if follower is not None:
            await follower.stop()

    def _swapped(self, loaded: LoadedVersion) -> None:
        self.children = {"model": loaded.predictor}

    # ---- operations ----

    async def _state(self, _: None, caller: Caller) -> SwapState:
        """Which version serves, which version would serve after a rollback, and what is wrong, if anything is."""
        following, serving = self._following(), self._serving
        document = following.shared.document.value
        version = None if serving is None else serving.version
        return SwapState(model=self.name, follows=str(self.reference), version=version, identity=self.identity(),
                         pinned=document.pin, previous=document.before(version), trouble=following.trouble)  # fmt: skip

    async def _to(self, command: SwapTo, caller: Caller) -> SwapState:
        """Serves a version regardless of the alias, until the next command.

        Raises:
            NotFound: there is no such version.
            Conflict: it cannot be served; the previous version continues to serve.
            Unavailable: the registry or the control store does not answer.
        """
        return await self._commanded(
            command.version, lambda now: now.pinned(command.version), caller, force=command.force
        )

    async def _roll_back(self, _: None, caller: Caller) -> SwapState:
        """Serves the previous version regardless of the alias, until the next command; raises as `swap`.

        It skips the check of the contract: a rollback from a forced version must undo what that version changed.
        """
        newest, serving = await self._following().shared.history(1), self._serving
        document = newest[0].value if newest else SwapDocument()
        version = document.before(None if serving is None else serving.version)
        if version is None:
            raise Conflict("no other version served before this one, so there is none to roll back to")
        return await self._commanded(version, lambda now: now.rolled_back(version), caller, force=True)

    async def _follow_again(self, _: None, caller: Caller) -> SwapState:
        """Serves the version that the alias names, from now on. It raises as `swap` does."""
        return await self._commanded(None, lambda now: now.pinned(None), caller)

    async def _commanded(
        self, version: int | None, to: Callable[[SwapDocument], SwapDocument], caller: Caller, *, force: bool = False
    ) -> SwapState:
        """Makes `version` serve; None means the version that the alias names."""
        following = self._following()
        try:
            version = await following.aliased_version() if version is None else version
            await following.command(version, to, caller.principal or "anonymous", force=force)
        except MlpatternsError as error:
            raise command_error(error) from error
        return await self._state(None, caller)

    def _following(self) -> Follower:
        if self._follower is None:
            raise Unavailable("the server is stopping", retry_after=1)
        return self._follower
