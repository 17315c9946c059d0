"""How tests share two processes: each file runs in one of them, and so do all that need one installed wheel."""

from __future__ import annotations

import pytest

INSTALLED = "installed"  # a fixture that takes a minute to make: once is enough


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        together = INSTALLED if INSTALLED in getattr(item, "fixturenames", ()) else item.location[0]
        item.add_marker(pytest.mark.xdist_group(together))
