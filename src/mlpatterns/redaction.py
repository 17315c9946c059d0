"""URLs fit to be shown: the password is replaced, wherever it stands."""

from __future__ import annotations

import re

__all__ = ["redact"]

# Greedy up to the last "@": a password may itself hold "/" and "@". Hiding too much is the right way to be wrong.
_IN_ADDRESS = re.compile(r"(://[^:/@]*:).*@")
_IN_QUERY = re.compile(r"([?&](?:password|passwd|pwd|sslpassword)=)[^&]*", re.IGNORECASE)


def redact(url: str) -> str:
    """The URL with its password as ``***``."""
    return _IN_QUERY.sub(r"\1***", _IN_ADDRESS.sub(r"\1***@", url))
