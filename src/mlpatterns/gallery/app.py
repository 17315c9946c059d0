"""The app of `mlpatterns up`: every system on one port, each below `/NAME/`, and an index page at `/`."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from mlpatterns.catalog import System
from mlpatterns.gallery.card import FIRST, Card, Member
from mlpatterns.gallery.docs_page import docs_page
from mlpatterns.gallery.index_page import page
from mlpatterns.gallery.plain import Plain
from mlpatterns.gallery.predicting import Predicting
from mlpatterns.server.app import App
from mlpatterns.server.exchange import Receive, Scope, Send
from mlpatterns.server.mounting import own_path
from mlpatterns.server.pages.html import headers_of
from mlpatterns.server.servable import PlainApp
from mlpatterns.user_errors import MissingExtra, NotOffered, UserError

__all__ = ["Gallery"]

log = logging.getLogger("mlpatterns")

UNKNOWN = "its pieces and its readiness are unknown now; the server's log says why"
HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:]+\](:\d+)?")


class Gallery:
    """Serves several apps as one ASGI app. It has the parts of `App`'s interface that a server needs.

    Args:
        apps: the apps of the systems, by the system's name.
        systems: all systems, in the order to show them.
    """

    def __init__(self, apps: Mapping[str, App | PlainApp], systems: Sequence[System]) -> None:
        self.apps, self.systems = dict(apps), tuple(systems)
        self._members = {name: _member(name, app) for name, app in apps.items()}
        self._refused: dict[str, UserError] = {}
        self._were_ready: set[str] = set()
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether the server stops soon; see `App.draining`."""
        return self._draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._draining = draining
        for app in self.apps.values():
            app.draining = draining

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gallery]:
        """Starts every app, and stops them in the reverse order. An app that cannot run here answers 503.

        Raises:
            UserError: an app failed to start, or no app can run here.
        """
        self._refused, self._were_ready = {}, set()
        async with AsyncExitStack() as stack:
            for name, member in self._members.items():
                try:
                    await stack.enter_async_context(member.running())
                except (MissingExtra, NotOffered) as error:
                    self._refused[name] = error
                    log.warning("%s does not run here: %s", name, error)
            if self._refused and not self._running:
                raise next(iter(self._refused.values()))
            yield self

    @property
    def _running(self) -> dict[str, Member]:
        return {name: member for name, member in self._members.items() if name not in self._refused}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = scope.get("root_path", "")
        path = own_path(scope)
        name, slash, rest = path[1:].partition("/")
        member = self._members.get(name)
        if member is None:
            await (await self._own(path, scope))(scope, receive, send)
        elif name in self._refused:
            text = f"{name} does not run here: {self._refused[name]}"
            await JSONResponse({"error": text}, 503)(scope, receive, send)
        elif not rest and (member.home or not slash):
            await RedirectResponse(f"{root}/{name}/{member.home}")(scope, receive, send)
        else:
            # As ASGI mounts an app: `path` stays unchanged, and `root_path` names the prefix that is already routed.
            await member.app({**scope, "root_path": f"{root}/{name}"}, receive, send)

    async def _own(self, path: str, scope: Scope) -> Response:
        """The response to a path that does not belong to a system."""
        match path if scope["method"] in ("GET", "HEAD") else None:
            case "/":
                at_root = not scope["path"].endswith("/")
                text = page(self.systems, await self._cards(), _address(scope), at_root=at_root)
                return HTMLResponse(text, headers=_headers("gallery"))
            case "/docs":
                return HTMLResponse(docs_page(await self._cards()), headers=_headers("docs"))
            case "/health":
                return JSONResponse({"health": "ok"})
            case "/health/live":
                return JSONResponse({"live": True})
            case "/health/ready":
                return await self._ready()
        where = "each system is below its name, and /NAME/docs has its routes"
        text = f"there is nothing at this path; {where}; the systems are {', '.join(self.apps)}"
        return JSONResponse({"error": text}, 404)

    async def _cards(self) -> list[Card]:
        shown = sorted(self.systems, key=lambda system: system.name != FIRST)  # stable: the others keep their order
        return [await self._card(system) for system in shown if system.name in self.apps]

    async def _card(self, system: System) -> Card:
        if system.name in self._refused:
            return Card(system, refused=str(self._refused[system.name]))
        try:
            return await self._members[system.name].card(system)
        except Exception:  # one system must not break the page that shows all
            log.exception("the card of %s cannot be made", system.name)
            return Card(system, waiting=(UNKNOWN,))

    async def _ready(self) -> Response:
        """Ready once every system was ready. A system that stops being ready is only reported as trouble, because a 503
        would keep the load balancer from sending requests to the others."""
        waiting, trouble = [], {name: str(error) for name, error in self._refused.items()}
        for name, member in self._running.items():
            reasons = await self._waits(name, member)
            if not reasons:
                self._were_ready.add(name)
                trouble |= {name: told} if (told := member.trouble()) else {}
            elif name in self._were_ready and not self._draining:
                trouble[name] = "; ".join(reasons)
            else:
                waiting.append(name)
        if not waiting:
            return JSONResponse({"ready": True, "trouble": trouble} if trouble else {"ready": True})
        text = "the server is stopping" if self._draining else f"not ready yet: {', '.join(waiting)}"
        return JSONResponse({"ready": False, "error": text}, 503, headers={"retry-after": "1"})

    async def _waits(self, name: str, member: Member) -> list[str]:
        try:
            return await member.waiting()
        except Exception:
            log.exception("cannot find out whether %s is ready", name)
            return [UNKNOWN]


def _member(name: str, app: App | PlainApp) -> Member:
    return Predicting(app) if isinstance(app, App) else Plain(name, app)


def _headers(name: str) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers_of(name)}


def _address(scope: Scope) -> str:
    """The URL at which the browser reached this server. An invalid Host header is never put into the page."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    return f"{scope['scheme']}://{host if HOST.fullmatch(host) else '127.0.0.1:8000'}{scope.get('root_path', '')}"
