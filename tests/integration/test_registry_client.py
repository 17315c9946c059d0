"""The typed client against a real process, and what serving knows of all this: nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.processes import Server, free_port, serving
from mlpatterns import Conflict, Denied, InvalidInput, NotFound, RegistryClient, Unavailable, UserError
from mlpatterns.registry import transport

pytestmark = pytest.mark.integration

FILES = {"sha256": "a" * 64, "manifest_sha256": "b" * 64, "artifact_url": "s3://elsewhere/shapes/one"}
DIGEST = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    with serving("model_db", cwd=home, environ={"MLPATTERNS_ADMIN_TOKEN": "t0ken"}) as running:
        yield running


@pytest.fixture
def service(server: Server) -> Iterator[RegistryClient]:
    with RegistryClient(f"http://127.0.0.1:{server.port}", admin_token="t0ken") as client:
        yield client


def test_every_row_comes_back_typed_from_the_data_to_where_it_serves(service: RegistryClient) -> None:
    project = service.add_project("the / first", "with a slash")
    assert service.project("the / first") == project
    assert project.created_datetime.tzinfo is not None
    model = service.add_model(project.project_id, "shapes")
    run = service.add_experiment(model.model_id, "1", training_dataset=f"sha256:{DIGEST}", parameters={"seed": 0})
    service.add_evaluations(run.experiment_id, {"f1": 0.5})
    run = service.add_artifact_file_paths(run.experiment_id, {"model": "m.onnx"})
    assert (run.evaluations, run.artifact_file_paths, run.dataset_sha256) == ({"f1": 0.5}, {"model": "m.onnx"}, DIGEST)
    assert list(service.experiments(model.model_id)) == [service.experiment(run.experiment_id)] == [run]
    made = service.add_version("shapes", **FILES, experiment_id=run.experiment_id)
    service.tag_model("shapes", "owner", "ann")
    service.tag_version("shapes", made.number, "stage", "new")
    assert service.move_alias("shapes", "champion", made.number, expected=None).number == 1
    assert [each.alias for each in service.aliases("shapes")] == ["champion"]
    deployed = service.add_deployment("shapes", 1, "shop")
    version = service.version("shapes", 1)
    assert (version.aliases, version.tags) == (["champion"], {"stage": "new"})
    assert list(service.versions("shapes", tags=["stage:new"])) == [version]
    assert list(service.models("SHAPE", tags=["owner"])) == [service.model("shapes")]
    (line,) = service.made_of(DIGEST)
    assert line == service.lineage("shapes", 1)
    assert (line.experiment, line.version, line.deployments) == (run, version, [deployed])
    with pytest.raises(Conflict, match="names version 1 now"):
        service.move_alias("shapes", "champion", 1, expected=None)
    with pytest.raises(Conflict, match="is what champion names"):
        service.delete_version("shapes", 1)
    service.delete_alias("shapes", "champion")
    service.end_deployment(deployed.deployment_id)
    service.untag_version("shapes", 1, "stage")
    service.untag_model("shapes", "owner")
    service.delete_version("shapes", 1)
    service.delete_experiment(run.experiment_id)
    service.delete_model(model.model_id)
    service.delete_project(project.project_id)
    with pytest.raises(NotFound, match="no model of this name"):
        service.model("shapes")


def test_a_listing_is_read_page_by_page(service: RegistryClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAGE", 2)
    names = [f"page {number}" for number in range(5)]
    for name in names:
        service.add_project(name)
    assert [each.project_name for each in service.projects("page ")] == names


def test_what_the_service_refuses_is_the_same_error_here(server: Server, service: RegistryClient) -> None:
    with pytest.raises(InvalidInput, match="model_name: "):
        service.add_model("x", "a b")
    with RegistryClient(f"http://127.0.0.1:{server.port}") as stranger, pytest.raises(Denied, match="admin token"):
        stranger.delete_project("x")
    with RegistryClient(service.url) as stranger, pytest.raises(Denied, match="admin token"):
        stranger.move_alias("shapes", "champion", 1)


def test_what_does_not_answer_or_is_none_is_said_so(server: Server) -> None:
    with pytest.raises(UserError, match="is not the address of a service"):
        RegistryClient("127.0.0.1:8000")
    with pytest.raises(Unavailable, match="the model DB did not answer: "):
        RegistryClient(f"http://127.0.0.1:{free_port()}").project("x")
    other = RegistryClient(f"http://127.0.0.1:{server.port}", api_version="v9")
    with other, pytest.raises(NotFound, match="nothing at this path"):
        other.project("x")


def test_a_connection_that_was_closed_meanwhile_is_opened_again_to_read(service: RegistryClient) -> None:
    project = service.add_project("again")
    service.close()
    assert service.project("again") == project


OWN = """
import sys
from mlpatterns import Wrapper, serve
from mlpatterns.testing import CountingModel

class Modules(Wrapper):
    async def predict(self, request):
        heavy = ("sqlalchemy", "fastapi", "alembic", "mlpatterns.model_db", "mlpatterns.registry.client")
        found = sorted(name for name in sys.modules if name.startswith(heavy))
        print(f"imported: {found}", flush=True)
        return await self.inner.predict(request)

app = serve(lambda: Modules(CountingModel()))
"""


def test_a_process_that_serves_a_model_holds_nothing_of_the_model_db(tmp_path: Path) -> None:
    (tmp_path / "serves_modules.py").write_text(OWN)
    with serving("serves_modules.py", cwd=tmp_path) as running:
        assert running.ask("/predict", {"data": [[1.0]]})[0] == 200
        running.stop()
        assert "imported: []" in running.output
