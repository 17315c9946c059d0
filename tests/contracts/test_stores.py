"""The backends that are built, each under the contract of its need."""

from __future__ import annotations

import pytest

from contracts.stores import CacheStoreContract, ControlStoreContract


class TestMemoryControl(ControlStoreContract):
    @pytest.fixture
    def url(self) -> str:
        return "memory://"


class TestMemoryCache(CacheStoreContract):
    shared = False

    @pytest.fixture
    def url(self) -> str:
        return "memory://"
