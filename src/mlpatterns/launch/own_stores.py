"""New stores for an app that this process only tries, so that it neither reads nor changes the stores of servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mlpatterns.settings import PREFIX, sqlite_url

__all__ = ["own_stores"]

FILES = ("control", "jobs", "log", "monitor", "batch")


@contextmanager
def own_stores() -> Iterator[None]:
    """In the body, and in the processes that it starts, all stores but those of the models are new.

    Values that commands have set, waiting jobs and logged predictions must not change the answers of the app, and the
    app must not change the jobs, the log and the answers of servers. The new stores are in a temporary folder, because
    the home may be read-only.
    """
    before = dict(os.environ)
    with TemporaryDirectory(prefix="mlpatterns-") as folder:
        urls = {name: sqlite_url(Path(folder) / f"{name}.db") for name in FILES}
        for name, url in {**urls, "cache": "memory://"}.items():
            os.environ.pop(f"{PREFIX}{name.upper()}_FILE", None)
            os.environ[PREFIX + name.upper()] = url
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
