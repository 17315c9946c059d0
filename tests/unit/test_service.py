"""Service: the same file in one process or in several."""

from __future__ import annotations

import asyncio

import pytest

from mlpatterns import Pipeline
from mlpatterns.models.remote.remote import RemoteModel
from mlpatterns.runtime import leaves_first, running
from mlpatterns.service import Service
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, request
from mlpatterns.user_errors import CompositionError


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.delenv("MLPATTERNS_SERVICE", raising=False)
    monkeypatch.delenv("MLPATTERNS_SERVICE_SETOSA_URL", raising=False)


def test_in_one_process_it_is_the_model_under_its_own_name() -> None:
    model = CountingModel("iris", version="4", labels=("low",))
    service = Service("setosa", model)
    assert dict(service.children) == {"inner": model}

    async def main() -> None:
        async with running(service, settings=Settings()):
            assert (service.metadata.name, service.metadata.version) == ("setosa", "4")
            assert service.metadata.labels == ("low",)
            assert service.metadata is service.metadata
            asked = request([[1.0, 2.0]])
            response = await service.predict(asked)
            assert (response.model_name, response.model_version) == ("setosa", "4")
            assert response.outputs["probabilities"].tolist() == [[3.0]]
            assert response.identity == service.identity() == model.identity()
            assert model.requests == [asked]

    asyncio.run(main())


def test_with_its_address_set_it_asks_that_server_and_the_model_is_not_in_the_tree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLPATTERNS_SERVICE_SETOSA_URL", "http://127.0.0.1:1")
    model = CountingModel()
    service = Service("setosa", model)
    (child,) = service.children.values()
    assert isinstance(child, RemoteModel)
    assert child.name == "setosa"
    assert model not in list(leaves_first(Pipeline(service)))


def test_the_address_of_another_service_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_SERVICE_VIRGINICA_URL", "http://127.0.0.1:1")
    model = CountingModel()
    assert list(Service("setosa", model).children.values()) == [model]


def test_the_process_that_serves_the_part_ignores_its_address_and_only_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_SERVICE_SETOSA_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("MLPATTERNS_SERVICE_VIRGINICA_URL", "http://127.0.0.1:2")
    monkeypatch.setenv("MLPATTERNS_SERVICE", "setosa")
    model = CountingModel()
    assert list(Service("setosa", model).children.values()) == [model]
    assert isinstance(Service("virginica", model).inner, RemoteModel)


@pytest.mark.parametrize("name", ["", "1st", "a b", "a/b", "é", "x" * 64, "-a", "a.b"])
def test_a_name_that_cannot_be_a_host_or_a_variable_is_refused(name: str) -> None:
    with pytest.raises(CompositionError, match="must be a letter, then letters, digits"):
        Service(name, CountingModel())
