"""An app below a path of another: which part of a request's path is its own."""

from __future__ import annotations

from mlpatterns.server.exchange import Scope

__all__ = ["own_path"]


def own_path(scope: Scope) -> str:
    """The path as the app's routes have it, without where the app is mounted: `/` for the mount itself.

    ASGI's `path` has `root_path` in front. Where a framework above was only told of a proxy's prefix (as
    `FastAPI(root_path=…)`), `root_path` has that prefix, but `path` has not: there only what Starlette's Mount added
    since, behind `app_root_path`, is in it.
    """
    path: str = scope["path"]
    root = scope.get("root_path", "").rstrip("/")
    if not root:
        return path
    for mount in (root, root.removeprefix(scope.get("app_root_path", ""))):
        if path == mount:
            return "/"
        if path.startswith(f"{mount}/"):
            return path[len(mount) :]
    return path
