"""The registry on each of its databases: tables, registering, locating, several writers at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.model_db.database import engine
from mlpatterns.model_db.register import Registration, register
from mlpatterns.model_db.tables import Base, Experiment, Version
from mlpatterns.model_db.upgrade import upgrade
from mlpatterns.registry.files import dump_metadata
from mlpatterns.registry.locate import locate
from mlpatterns.settings import Settings
from mlpatterns.user_errors import UnknownName
from services import DATABASES, database

pytestmark = pytest.mark.integration

WRITERS = 6


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def entry() -> Registration:
    spec = TensorSpec("input", "FP32", (-1, 2))
    sample = {"input": np.zeros((1, 2), np.float32)}
    metadata = ModelMetadata("shapes", "", "onnxruntime_onnx", (spec,), (spec,), "input", ("円", "四角"), sample)
    files = {"model.onnx": b"graph", "metadata.json": dump_metadata(metadata)}
    return Registration("shapes", files, description="円と四角", parameters={"seed": 0}, evaluations={"f1": 0.5})


def test_the_migrations_make_the_tables_of_the_program_and_can_be_run_again(url: str) -> None:
    upgrade(url).dispose()
    made = upgrade(url)
    with made.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    made.dispose()


def test_what_is_registered_is_located_by_a_process_without_sqlalchemy(
    url: str, entry: Registration, tmp_path: Path
) -> None:
    register(entry, Settings(home=tmp_path, registry=url))
    register(entry, Settings(home=tmp_path, registry=url), promote=False)
    champion, second = (locate(name, Settings(home=tmp_path, registry=url)) for name in ("shapes", "shapes:2"))
    assert (champion.version, second.version) == ("1", "2")
    assert champion.metadata is not None
    assert champion.metadata.labels == ("円", "四角")
    with pytest.raises(UnknownName, match="did you mean 'shapes'"):
        locate("Shapes", Settings(home=tmp_path, registry=url))


def test_an_experiment_comes_back_as_it_was_written(url: str, entry: Registration, tmp_path: Path) -> None:
    register(entry, Settings(home=tmp_path, registry=url))
    made = engine(url)
    with Session(made) as session:
        experiment = session.scalars(select(Experiment)).one()
        assert (experiment.parameters, experiment.evaluations) == ({"seed": 0}, {"f1": 0.5})
        assert experiment.created_datetime.tzinfo is None
    made.dispose()


def test_a_registry_nobody_trained_into_knows_no_model(url: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"`mlpatterns registry import FILE\.onnx --name shapes` makes it"):
        locate("shapes", Settings(home=tmp_path, registry=url))


@pytest.mark.slow
def test_writers_at_once_on_an_empty_database_get_numbers_without_gap_or_twin(
    url: str, entry: Registration, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        made = list(pool.map(lambda _: register(entry, Settings(home=tmp_path, registry=url)), range(WRITERS)))
    assert sorted(one.version for one in made) == list(range(1, WRITERS + 1))
    assert locate("shapes", Settings(home=tmp_path, registry=url)).version == "1"


def test_a_version_number_cannot_be_given_twice_nor_an_alias_point_at_nothing(
    url: str, entry: Registration, tmp_path: Path
) -> None:
    register(entry, Settings(home=tmp_path, registry=url))
    made = engine(url)
    with Session(made) as session:
        model_id = session.scalars(select(Version.model_id)).one()
        session.add(Version(model_id=model_id, number=1, sha256=""))
        with pytest.raises(IntegrityError):
            session.flush()
    with made.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(text("UPDATE aliases SET number = 9"))
    made.dispose()
