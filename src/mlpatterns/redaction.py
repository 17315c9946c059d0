"""Makes texts from outside safe to show: URLs without passwords, names shortened and escaped."""

from __future__ import annotations

import re

__all__ = ["quoted", "redact"]

# Greedy up to the last "@": a password may itself contain "/" and "@". Hiding too much is the safe error.
_IN_ADDRESS = re.compile(r"(://[^:/@]*:).*@")
_IN_QUERY = re.compile(r"([?&](?:password|passwd|pwd|sslpassword)=)[^&]*", re.IGNORECASE)


def redact(url: str) -> str:
    """The URL with ``***`` in place of its password."""
    return _IN_QUERY.sub(r"\1***", _IN_ADDRESS.sub(r"\1***@", url))


def quoted(name: str) -> str:
    """A name from outside, quoted, escaped and cut to 64 characters, for use in a sentence."""
    return repr(name if len(name) <= 64 else f"{name[:64]}…")
