"""The browser that all pages are looked at with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from browser.chromium import Browser, chromium, find_chromium
from services import unreachable


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        unreachable("Chromium", "it is not installed (Debian: apt-get install chromium)")
        return
    with chromium(program, tmp_path_factory.mktemp("chromium")) as opened:
        yield opened
