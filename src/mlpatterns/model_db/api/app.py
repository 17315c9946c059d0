"""The model DB as an ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from mlpatterns.redaction import redact
from mlpatterns.registry.urls import is_service
from mlpatterns.settings import Settings, load_settings
from mlpatterns.user_errors import MissingExtra, NotOffered

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mlpatterns.server.pages.diagram_nodes import Node

__all__ = ["ModelDB"]


class ModelDB:
    """Projects, models, experiments, versions, aliases, tags, deployments, lineage over HTTP, as a standard ASGI app.

    FastAPI and SQLAlchemy are imported when the app starts, not when it is created. Its routes are below
    ``/<api_version>/api``; its OpenAPI document is ``/openapi.json``.

    Args:
        settings: by default read from file and environment when the app starts.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._api: FastAPI | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._api is None or scope["type"] == "lifespan":
            self._api = _application(self._settings or load_settings().settings)
        await self._api(scope, receive, send)

    def drawing(self) -> Node:
        """The tables and their references, as a diagram.

        Raises:
            MissingExtra: SQLAlchemy is not installed.
        """
        from mlpatterns.model_db.drawing import drawing

        return drawing((self._settings or load_settings().settings).registry_url)


def _application(settings: Settings) -> FastAPI:
    if is_service(settings.registry_url):
        raise NotOffered(
            f"the registry is the service at {redact(settings.registry_url)}, a model DB itself: ask that one, or set "
            "MLPATTERNS_REGISTRY to a database, sqlite:///FILE, postgresql://… or mysql://…"
        )
    try:
        from fastapi import FastAPI
    except ImportError as error:
        raise MissingExtra("the model DB", "registry") from error
    from mlpatterns import __version__
    from mlpatterns.model_db.api import docs_page, failures, routes
    from mlpatterns.model_db.api.bodies import BodyLimit
    from mlpatterns.model_db.api.plain_paths import PlainPaths
    from mlpatterns.model_db.api.sessions import Sessions
    from mlpatterns.server.auth import Gate, api_keys

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        from anyio import to_thread

        app.state.database = database = await to_thread.run_sync(Sessions, settings)
        try:
            yield
        finally:
            database.close()

    app = FastAPI(
        title="model_db",
        version=__version__,
        description="Which model was trained from what, which version it is, and where it serves.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own page loads scripts from other sites
        redoc_url=None,
    )
    app.state.gate = Gate(api_keys(settings.api_keys) if settings.api_keys else None, settings.admin_token)
    app.add_middleware(BodyLimit, most=min(settings.max_body_bytes, BodyLimit.MOST))
    app.add_middleware(PlainPaths)
    failures.answer(app)
    docs_page.add(app)
    routes.include(app, settings.api_version)
    return app
