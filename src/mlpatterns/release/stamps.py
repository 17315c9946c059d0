"""One time for all files of a release, so that the same content gives the same bytes at any time."""

from __future__ import annotations

import os
from pathlib import Path

from mlpatterns.user_errors import SettingsError

__all__ = ["epoch", "stamp"]

DEFAULT = 315_532_800  # 1980-01-01, the first moment that a wheel's zip can say
READABLE, RUNNABLE = 0o644, 0o755


def epoch() -> int:
    """Seconds since 1970 of SOURCE_DATE_EPOCH (reproducible-builds.org), or those of 1980.

    Raises:
        SettingsError: it is no such number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text and not (text.isascii() and text.isdigit()):
        raise SettingsError(f"SOURCE_DATE_EPOCH is {text!r}; give whole seconds since 1970")
    return max(DEFAULT, int(text)) if text else DEFAULT


def stamp(folder: Path) -> None:
    """Sets that time, and permissions that do not depend on the umask, for everything below `folder`."""
    moment = epoch()
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        path.chmod(RUNNABLE if path.is_dir() else READABLE)
        os.utime(path, (moment, moment))
