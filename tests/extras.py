"""Packages of extras that the development environment does not contain, because they are large.

If a package is not installed, its tests are skipped. If CI is set, they fail, because CI must install the package.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

__all__ = ["need"]


def need(module: str, extra: str) -> None:
    """Skips the tests of the calling module if `module` is not installed; fails them if CI must install it."""
    if find_spec(module) is not None:
        return
    message = f"{module} is not installed: pip install 'mlpatterns[{extra}]'"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message, allow_module_level=True)
