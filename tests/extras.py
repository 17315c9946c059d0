"""Packages of extras that the development environment does not hold, because they are large.

One that is not installed skips its tests by name, but where CI is set it fails them: there it was promised.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

__all__ = ["need"]


def need(module: str, extra: str) -> None:
    """Skips the tests of the calling module, or fails them where CI promises the package."""
    if find_spec(module) is not None:
        return
    message = f"{module} is not installed: pip install 'mlpatterns[{extra}]'"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message, allow_module_level=True)
