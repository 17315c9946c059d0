"""What several integration tests share: one installed wheel a session, since making it takes a while."""

from __future__ import annotations

import pytest

from integration.installed import Installed, install


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(tmp_path_factory.mktemp("installed"))
