"""Service: a part of a system that can run in its own process, without a change to the file of the system."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mlpatterns.base import Wrapper
from mlpatterns.metadata import ModelMetadata
from mlpatterns.pieces import piece
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.runtime import Built, leaves_first, roots_of
from mlpatterns.settings import load_settings, service_url
from mlpatterns.user_errors import CompositionError, UnknownName

if TYPE_CHECKING:
    from mlpatterns.models.remote.remote import RemoteModel

__all__ = ["Service", "find_service"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


@piece(lambda inner, _: Service("service", inner), diagram="border")
class Service(Wrapper):
    """Gives `predictor` a name under which it can run in another process.

    In one process it only calls `predictor`. If ``MLPATTERNS_SERVICE_<NAME>_URL`` is set, it calls the model `name` of
    the server at that URL instead, and `predictor` is never loaded. The process that serves this part, ``mlpatterns run
    FILE --service NAME``, ignores the variable. The constructor reads both settings, so call it in ``build()``.

    The server gets the principal and the headers that the part reads, and returns its notes. So the answers are the
    same in both cases. Credentials are not sent. The server trusts the principal that it gets, so let only the system
    reach it.

    Args:
        name: letters, digits, dashes and underscores after a letter. The variable and ``--service``
            use it.
        predictor: the part.

    Raises:
        CompositionError: `name` is not letters, digits, dashes and underscores after a letter.
    """

    def __init__(self, name: str, predictor: Predictor) -> None:
        if not _NAME.fullmatch(name):
            raise CompositionError(f"the service name {name!r} must be a letter, then letters, digits, '-' or '_'")
        self._part, self._remote = predictor, _elsewhere(name)
        super().__init__(self._remote or predictor, name)
        if self._remote is not None:  # the server must get the headers that its pieces read
            self.reads_headers = {name for piece in leaves_first(predictor) for name in piece.reads_headers}
        self._known: tuple[ModelMetadata, ModelMetadata] | None = None

    @property
    def metadata(self) -> ModelMetadata:
        inner = self.inner.metadata
        if self._known is None or self._known[0] is not inner:
            self._known = inner, replace(inner, name=self.name)
        return self._known[1]

    @property
    def depends_on_caller(self) -> bool:
        return self._part.depends_on_caller

    async def start(self, runtime: Runtime) -> None:
        if self._remote is not None:
            self._remote.noted_under = runtime.path

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return self._named(await self.inner.predict(request))

    def _named(self, a: InferenceResponse) -> InferenceResponse:
        if a.model_name == self.name:
            return a
        return InferenceResponse(
            a.outputs, self.name, a.model_version, a.identity, a.parameters, a.status, a.degraded, a.described
        )


def find_service(built: Built, name: str) -> Service:
    """The Service called `name` among the predictors that `build()` returned.

    Raises:
        UnknownName: no Service has this name.
    """
    services = {part.name: part for part in leaves_first(*roots_of(built)) if isinstance(part, Service)}
    if name not in services:
        raise UnknownName("service", name, services, "" if services else "this system has no services")
    return services[name]


def _elsewhere(name: str) -> RemoteModel | None:
    url = service_url(name)
    if url is None or load_settings().settings.service == name:
        return None
    from mlpatterns.models.remote.remote import RemoteModel

    return RemoteModel(url, model=name)
