"""The data that the index page of `mlpatterns up` shows of each system, and the protocol that provides it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

from mlpatterns.catalog import System
from mlpatterns.context import NOTHING
from mlpatterns.server.pages.diagram_nodes import Node

if TYPE_CHECKING:
    from mlpatterns.server.servable import Servable

__all__ = ["FIRST", "LINKS", "PAGE", "Card", "FormRoute", "FormSpec", "Member"]

FIRST = "web_single"  # the system that the page shows first
PAGE = ""  # the path of an app's own page, below its name
LINKS = {
    PAGE: "Open it",
    "docs": "API and its docs", "openapi.json": "OpenAPI", "metrics": "Metrics", "health/ready": "Ready?",
}  # fmt: skip


class FormRoute(Struct, frozen=True):
    """One route that a form can send to.

    Attributes:
        path: the path below the system's mount; `{name}` is a path parameter.
        kind: routes of the same kind take the same body.
        body: the initial text of the body.
    """

    method: str
    path: str
    kind: str
    body: str = ""


class FormSpec(Struct, frozen=True):
    """The form that sends requests to one model, or to a service without a model.

    Attributes:
        model: the name of the model or service.
        body_kind: the kind of field that the form has for the body.
        fields: the names of a row's columns.
        picture: the sample image as a `data:` URL, if browsers can show its format; else empty.
        parameters: the values to choose from for each path parameter.
    """

    model: str
    choices: tuple[FormRoute, ...]
    body_kind: Literal["json", "image", "nothing"] = "json"
    fields: tuple[str, ...] = ()
    picture: str = ""
    parameters: Mapping[str, tuple[str, ...]] = NOTHING


class Card(Struct, frozen=True):
    """What the index page shows of a system that has an app.

    Attributes:
        diagram: the diagram of its pieces; None if only its header has a diagram.
        forms: the specifications of its forms.
        links: the paths of LINKS that it answers.
        waiting: what is not ready yet.
        unloaded: the names of the models that an operator has unloaded.
        operations: the names of the operations that its pieces offer besides predict.
        listed: the names that its list routes return now, as text.
        secured: whether a request needs an API key.
        refused: why it does not run here; empty if it runs.
    """

    system: System
    diagram: Node | None = None
    forms: tuple[FormSpec, ...] = ()
    links: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    unloaded: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    listed: str = ""
    secured: bool = False
    refused: str = ""


class Member(Protocol):
    """The interface that the gallery needs of every system's app."""

    @property
    def app(self) -> Servable: ...

    @property
    def home(self) -> str:
        """The path below its mount to which the mount redirects; empty if the app itself answers at the mount."""

    def running(self) -> AbstractAsyncContextManager[object]:
        """Starts the app on entry and stops it on exit."""

    async def waiting(self) -> list[str]:
        """What is not ready yet; empty if the app can answer requests."""

    def trouble(self) -> str:
        """What does not answer while the app itself does, such as a store; empty if all is well."""

    async def card(self, system: System) -> Card:
        """What the index page shows of the running app now."""
