"""What the registry said of version numbers, kept on this machine: a number never comes to mean another version.

So a version whose files are here is served without asking the registry, which may be down. The registry of a file is
asked each time: it cannot hang.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import msgspec

from mlpatterns.durable import write_whole
from mlpatterns.redaction import redact
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.fetching import is_kept
from mlpatterns.registry.urls import artifacts_url
from mlpatterns.stores.registry import Answer

__all__ = ["remember", "remembered"]


def remembered(reference: RegisteredReference, *, home: Path, url: str, artifacts: str | None = None) -> Answer | None:
    """What the registry at `url` said of a version whose files are on this machine; None for an alias."""
    if reference.version is None or url.startswith("sqlite:"):
        return None
    with suppress(OSError, msgspec.MsgspecError):  # what is not there or damaged is asked for
        answer = msgspec.json.decode(_file(home, url, reference.name, reference.version).read_bytes(), type=Answer)
        return answer if is_kept(artifacts_url(home, artifacts), answer, home) else None
    return None


def remember(name: str, answer: Answer, *, home: Path, url: str) -> None:
    """Keeps an answer whose files were found."""
    file = _file(home, url, name, answer.version)
    if not url.startswith("sqlite:") and not file.exists():
        with suppress(OSError):  # a home that cannot be written serves all the same
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, msgspec.json.encode(answer))


def _file(home: Path, url: str, name: str, version: int) -> Path:
    registry = hashlib.sha256(redact(url).encode()).hexdigest()[:16]
    return home / "cache" / "answers" / registry / name / f"{version}.json"
