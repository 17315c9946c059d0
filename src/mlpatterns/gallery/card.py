"""What the index page of `mlpatterns up` needs to know of each system, and what it asks of a system's app for it."""

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

__all__ = ["FIRST", "LINKS", "PAGE", "Card", "Choice", "FormSpec", "Member"]

FIRST = "web_single"  # what a newcomer is shown first
PAGE = ""  # the path of an app's own page, below its name
LINKS = {
    PAGE: "Open it",
    "docs": "API and its docs", "openapi.json": "OpenAPI", "metrics": "Metrics", "health/ready": "Ready?",
}  # fmt: skip


class Choice(Struct, frozen=True):
    """One route that a form can send to.

    Attributes:
        path: below the system's own; `{name}` is a parameter of its question.
        kind: routes of one kind take the same body.
        body: to begin with.
    """

    method: str
    path: str
    kind: str
    body: str = ""


class FormSpec(Struct, frozen=True):
    """How to ask one model, or a service that is none.

    Attributes:
        model: its name.
        takes: what its form has a field for.
        fields: the names of a row's columns.
        picture: a sample image as a `data:` URL, if it is one that a browser shows.
        parameters: the values to choose from for what stands in braces in a path.
    """

    model: str
    choices: tuple[Choice, ...]
    takes: Literal["json", "image", "nothing"] = "json"
    fields: tuple[str, ...] = ()
    picture: str = ""
    parameters: Mapping[str, tuple[str, ...]] = NOTHING


class Card(Struct, frozen=True):
    """A system of which there is an app.

    Attributes:
        drawn: its diagram; None where only its header has one.
        questions: a form each.
        links: which of LINKS it answers.
        waiting: what is not ready.
        unloaded: the names of the models that an operator has unloaded.
        operations: the names of what its pieces offer beside predict.
        holds: the names of what is in it now.
        secured: a request needs an API key.
        refused: why it does not run here, if it does not.
    """

    system: System
    drawn: Node | None = None
    questions: tuple[FormSpec, ...] = ()
    links: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    unloaded: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    holds: str = ""
    secured: bool = False
    refused: str = ""


class Member(Protocol):
    """What the gallery asks of a system's app, whatever kind of app it is."""

    @property
    def app(self) -> Servable: ...

    @property
    def home(self) -> str:
        """The page below its mount that a visitor of the mount is led to; empty if the app answers there itself."""

    def running(self) -> AbstractAsyncContextManager[object]:
        """Its start, and its end."""

    async def waiting(self) -> list[str]:
        """What is not ready; empty when it may be asked."""

    async def card(self, system: System) -> Card:
        """What is shown of it now, while it runs."""
