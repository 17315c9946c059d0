"""What several integration tests share: one installed wheel and one server of MLflow, since each takes a while."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.installed import Installed, install
from integration.mlflow_server import mlflow_server


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url
