"""Sets one time for all files of a release, so that equal content gives equal bytes at any time."""

from __future__ import annotations

import os
from pathlib import Path

from mlpatterns.user_errors import SettingsError

__all__ = ["epoch", "stamp"]

DEFAULT = 315_532_800  # 1980-01-01, the earliest time that a zip file can represent
READABLE, RUNNABLE = 0o644, 0o755


def epoch() -> int:
    """The time of all files in seconds since 1970: SOURCE_DATE_EPOCH (reproducible-builds.org), by default 1980-01-01.

    Raises:
        SettingsError: SOURCE_DATE_EPOCH is not such a number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text and not (text.isascii() and text.isdigit()):
        raise SettingsError(f"SOURCE_DATE_EPOCH is {text!r}; give whole seconds since 1970")
    return max(DEFAULT, int(text)) if text else DEFAULT


def stamp(folder: Path) -> None:
    """Sets this time, and permissions that do not depend on the umask, for all files and folders below `folder`."""
    moment = epoch()
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        path.chmod(RUNNABLE if path.is_dir() else READABLE)
        os.utime(path, (moment, moment))
