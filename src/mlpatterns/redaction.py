"""Words from outside, fit to be shown: URLs without their passwords, names cut and escaped."""

from __future__ import annotations

import re

__all__ = ["quoted", "redact"]

# Greedy up to the last "@": a password may itself hold "/" and "@". Hiding too much is the right way to be wrong.
_IN_ADDRESS = re.compile(r"(://[^:/@]*:).*@")
_IN_QUERY = re.compile(r"([?&](?:password|passwd|pwd|sslpassword)=)[^&]*", re.IGNORECASE)


def redact(url: str) -> str:
    """The URL with its password as ``***``."""
    return _IN_QUERY.sub(r"\1***", _IN_ADDRESS.sub(r"\1***@", url))


def quoted(name: str) -> str:
    """A name that came from outside, fit for a sentence."""
    return repr(name if len(name) <= 64 else f"{name[:64]}…")
