"""Service: a part of a system that may run in a process of its own, without a change to the file that composes it."""

from __future__ import annotations

import re

from msgspec.structs import replace

from mlpatterns.base import Wrapper
from mlpatterns.errors import CompositionError, UnknownName
from mlpatterns.metadata import ModelMetadata
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor
from mlpatterns.runtime import Built, leaves_first, roots_of
from mlpatterns.settings import load_settings, service_url

__all__ = ["Service", "find_service"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


class Service(Wrapper):
    """`predictor` under a name of its own.

    In one process it is just that. With ``MLPATTERNS_SERVICE_<NAME>_URL`` set it asks the server at that address for
    the model `name` instead, and `predictor` is not even loaded; the process told to serve this part
    (``mlpatterns run FILE --service NAME``) ignores the address. Both are read here, so build it in ``build()``.

    Raises:
        CompositionError: `name` is not letters, digits, dashes and underscores after a letter.
    """

    def __init__(self, name: str, predictor: Predictor) -> None:
        if not _NAME.fullmatch(name):
            raise CompositionError(f"the service name {name!r} must be a letter, then letters, digits, '-' or '_'")
        super().__init__(_elsewhere(name) or predictor, name)
        self._known: tuple[ModelMetadata, ModelMetadata] | None = None

    @property
    def metadata(self) -> ModelMetadata:
        inner = self.inner.metadata
        if self._known is None or self._known[0] is not inner:
            self._known = inner, replace(inner, name=self.name)
        return self._known[1]

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return self._named(await self.inner.predict(request))

    def _named(self, a: InferenceResponse) -> InferenceResponse:
        if a.model_name == self.name:
            return a
        return InferenceResponse(a.outputs, self.name, a.model_version, a.identity, a.parameters, a.status, a.degraded)


def find_service(built: Built, name: str) -> Service:
    """The service `name` below what `build()` returned: the part that this process serves.

    Raises:
        UnknownName: there is none of that name.
    """
    services = {part.name: part for part in leaves_first(*roots_of(built)) if isinstance(part, Service)}
    if name not in services:
        raise UnknownName("service", name, services, "" if services else "this system has no services")
    return services[name]


def _elsewhere(name: str) -> Predictor | None:
    url = service_url(name)
    if url is None or load_settings().settings.service == name:
        return None
    from mlpatterns.models.remote import RemoteModel

    return RemoteModel(url, model=name)
