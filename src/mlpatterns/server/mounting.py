"""Finds an app's own part of a request's path when the app is mounted in another app."""

from __future__ import annotations

from mlpatterns.server.exchange import Scope

__all__ = ["own_path"]


def own_path(scope: Scope) -> str:
    """The path for the app's own routes, without the path of the mount. The mount itself is `/`.

    ASGI's `path` begins with `root_path`. A framework may also put a proxy's prefix into `root_path`, as
    `FastAPI(root_path=…)` does, although `path` does not contain this prefix. Then `path` begins only with the part
    that Starlette's Mount added to `root_path` after `app_root_path`.
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
