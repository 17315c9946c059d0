"""The app of `mlpatterns up`: every system on one port, each below `/NAME/`, and an index page at `/`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from mlpatterns.catalog import System
from mlpatterns.launch.gallery_data import card_of
from mlpatterns.launch.gallery_page import page
from mlpatterns.server.app import App
from mlpatterns.server.exchange import Receive, Scope, Send
from mlpatterns.server.health import Health
from mlpatterns.server.pages.document import headers_of

__all__ = ["Gallery"]

HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:]+\](:\d+)?")


class Gallery:
    """Apps by name as one ASGI app, with the same interface as `App` where a server needs it.

    Args:
        apps: the apps of the systems that are built, by name.
        systems: all systems, in the order to show them.
    """

    def __init__(self, apps: Mapping[str, App], systems: Sequence[System]) -> None:
        self.apps, self.systems = dict(apps), tuple(systems)
        self._draining = False

    @property
    def draining(self) -> bool:
        """Stopping soon; see `App.draining`."""
        return self._draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._draining = draining
        for app in self.apps.values():
            app.draining = draining

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gallery]:
        """Starts every app; the reverse at the end."""
        async with AsyncExitStack() as stack:
            for app in self.apps.values():
                await stack.enter_async_context(app.running())
            yield self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = scope.get("root_path", "")
        path = scope["path"].removeprefix(root) or "/"
        name, _, rest = path[1:].partition("/")
        app = self.apps.get(name)
        if app is None:
            await self._own(path, scope)(scope, receive, send)
        elif not rest:
            await RedirectResponse(f"{root}/{name}/docs")(scope, receive, send)
        else:
            # ASGI's mounting: the path stays whole, the part that is dealt with goes to root_path.
            await app({**scope, "root_path": f"{root}/{name}"}, receive, send)

    def _own(self, path: str, scope: Scope) -> Response:
        """The answer to a path that is no system's."""
        if scope["method"] not in ("GET", "HEAD"):
            return JSONResponse({"error": f"POST to a system: /NAME/predict, NAME one of {', '.join(self.apps)}"}, 404)
        match path:
            case "/":
                return self._page(scope)
            case "/health":
                return JSONResponse({"health": "ok"})
            case "/health/live":
                return JSONResponse({"live": True})
            case "/health/ready":
                return self._ready()
        return JSONResponse({"error": f"there is nothing at this path; the systems are {', '.join(self.apps)}"}, 404)

    def _page(self, scope: Scope) -> Response:
        cards = [card_of(system, self.apps[system.name], self._waiting(self.apps[system.name]))
                 for system in self.systems if system.name in self.apps]  # fmt: skip
        at_root = not scope["path"].endswith("/")
        headers = {name.decode(): value.decode() for name, value in headers_of("gallery")}
        return HTMLResponse(page(self.systems, cards, _address(scope), at_root=at_root), headers=headers)

    def _waiting(self, app: App) -> list[str]:
        return Health(self, app.models).waiting()

    def _ready(self) -> Response:
        waiting = [name for name, app in self.apps.items() if self._waiting(app)]
        if not waiting:
            return JSONResponse({"ready": True})
        text = "the server is stopping" if self._draining else f"not ready yet: {', '.join(waiting)}"
        return JSONResponse({"ready": False, "error": text}, 503, headers={"retry-after": "1"})


def _address(scope: Scope) -> str:
    """Where the reader reached this server; a host that is none is not repeated."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    return f"{scope['scheme']}://{host if HOST.fullmatch(host) else '127.0.0.1:8000'}{scope.get('root_path', '')}"
