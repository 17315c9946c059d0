"""Serves the site over HTTP. It serves only files: it accepts no data, and headers tell the browser to send none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mlpatterns.edge.site import EdgeModel, Site, build_site, read_site
from mlpatterns.settings import load_settings
from mlpatterns.user_errors import NotOffered, UserError

__all__ = ["EdgeSite", "site_app"]

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-cache",  # the service worker caches the files, and must always fetch the newest ones
}
TYPES = {".mjs": "text/javascript", ".wasm": "application/wasm", ".webmanifest": "application/manifest+json"}
REFUSED = {404: "there is nothing at this path", 405: "this path answers GET: the site takes nothing"}
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Files(StaticFiles):
    """Static files with the content types for modules and WebAssembly, and with the headers above."""

    def file_response(self, full_path: Any, *rest: Any, **options: Any) -> Response:
        response = super().file_response(full_path, *rest, **options)
        kind = TYPES.get(Path(full_path).suffix)
        if kind:
            response.headers["content-type"] = kind
        response.headers.update(HEADERS)
        response.headers["content-security-policy"] = POLICY
        return response


def site_app(folder: Path) -> Starlette:
    """The site in `folder` as an ASGI app; it accepts only GET and HEAD.

    Raises:
        UserError: there is no site in `folder`.
    """
    if read_site(folder) is None:
        raise UserError(f"there is no site in {folder}; `mlpatterns edge build` makes one")
    known: dict[str, dict[str, Any]] = {
        "/health": {"health": "ok"},
        "/health/live": {"live": True},
        "/health/ready": {"ready": True},
    }
    health = [Route(path, partial(_health, body)) for path, body in known.items()]
    files = Mount("/", Files(directory=folder, html=True))
    return Starlette(routes=[*health, files], exception_handlers={HTTPException: _refused})


async def _health(body: dict[str, Any], request: Any) -> Response:
    return JSONResponse(body)


async def _refused(request: Any, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = REFUSED.get(error.status_code, f"{error.detail}")
    return JSONResponse({"error": text}, error.status_code, headers=error.headers)


class EdgeSite:
    """A site that predicts in the browser, as an ASGI app. It builds its files when it starts.

    Args:
        models: the models to show, side by side.
        folder: where the site is built; by default `edge/site` in the home folder.
    """

    def __init__(self, *models: EdgeModel, folder: Path | None = None) -> None:
        self.models, self._folder = models, folder
        self._app: Starlette | None = None

    @property
    def references(self) -> tuple[str, ...]:
        """The models that must be registered before it starts."""
        return tuple(model.reference for model in self.models)

    def build(self, folder: Path | None = None) -> Site:
        """Builds the site; see `build_site`."""
        settings = load_settings().settings
        return build_site(self.models, folder or self._folder or settings.home / "edge" / "site", settings)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await Starlette(lifespan=self._running)(scope, receive, send)
            return
        assert self._app is not None  # the server starts the lifespan before the first request
        await self._app(scope, receive, send)

    @asynccontextmanager
    async def _running(self, app: Starlette) -> AsyncIterator[None]:
        try:
            await asyncio.to_thread(self.build)
        except UserError as error:
            raise NotOffered(str(error)) from error  # if several apps are served, the others still start
        settings = load_settings().settings
        self._app = site_app(self._folder or settings.home / "edge" / "site")
        yield
