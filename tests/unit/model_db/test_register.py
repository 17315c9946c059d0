"""Registering: numbers, the champion, and what a failure leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mlpatterns.model_db import register as module
from mlpatterns.model_db.database import engine
from mlpatterns.model_db.register import Registration, register
from mlpatterns.model_db.tables import Alias, Artifact, Experiment, Model, Project, Version
from mlpatterns.settings import Settings
from mlpatterns.user_errors import UserError


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    made = engine(url)
    with Session(made) as opened:
        yield opened
    made.dispose()


def test_each_registration_is_the_next_version_and_the_first_stays_champion(
    tmp_path: Path, entry: Registration, url: str
) -> None:
    made = [register(entry, Settings(home=tmp_path, registry=url)) for _ in range(3)]
    assert [(one.version, one.champion, one.released) for one in made] == [(1, True, 1), (2, False, 1), (3, False, 1)]
    assert len({one.folder for one in made}) == 3


def test_what_is_forced_becomes_the_champion_unchecked(tmp_path: Path, entry: Registration, url: str) -> None:
    made = [register(entry, Settings(home=tmp_path, registry=url), promote=True, force=True) for _ in range(3)]
    assert [(one.version, one.champion, one.released) for one in made] == [(1, True, 1), (2, True, 2), (3, True, 3)]


def test_what_cannot_be_loaded_is_registered_and_not_promoted(tmp_path: Path, entry: Registration, url: str) -> None:
    made = [register(entry, Settings(home=tmp_path, registry=url), promote=True) for _ in range(2)]
    assert [(one.version, one.champion, one.released) for one in made] == [(1, True, 1), (2, False, 1)]
    assert made[1].refused.startswith("shapes:2 cannot be released: ")


def test_a_version_that_may_not_be_the_first_champion_leaves_that_to_the_next(
    tmp_path: Path, entry: Registration, url: str, session: Session
) -> None:
    made = [
        register(entry, Settings(home=tmp_path, registry=url), unfit="" if number > 1 else "it is NaN")
        for number in (1, 2)
    ]
    assert [(one.champion, one.released) for one in made] == [(False, None), (True, 2)]
    assert session.scalars(select(Alias.number)).all() == [2]


def test_a_version_comes_with_its_project_model_experiment_and_artifact(
    tmp_path: Path, entry: Registration, url: str, session: Session
) -> None:
    made = register(entry, Settings(home=tmp_path, registry=url))
    project, model = session.scalars(select(Project)).one(), session.scalars(select(Model)).one()
    version, experiment = session.scalars(select(Version)).one(), session.scalars(select(Experiment)).one()
    artifact = session.scalars(select(Artifact)).one()
    assert (project.project_name, model.project_id, model.model_name) == ("mlpatterns", project.project_id, "shapes")
    assert (version.model_id, version.number, version.sha256) == (model.model_id, 1, entry.sha256)
    assert experiment.model_version_id == version.version_id == artifact.version_id
    assert experiment.artifact_file_paths is not None
    assert experiment.artifact_file_paths["model.onnx"] == f"{artifact.url}/model.onnx"
    assert tmp_path / "artifacts" / artifact.url == made.folder


def test_a_number_that_another_process_took_is_tried_again(
    tmp_path: Path, entry: Registration, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(entry, Settings(home=tmp_path, registry=url))
    insert, failures = module._insert, iter([IntegrityError("insert", {}, Exception("taken"))] * 2)

    def contested(*args: object, **options: object) -> object:
        for failure in failures:
            raise failure
        return insert(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_insert", contested)
    assert register(entry, Settings(home=tmp_path, registry=url)).version == 2


def test_a_failed_transaction_leaves_neither_rows_nor_a_folder(
    tmp_path: Path, entry: Registration, url: str, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    def refuse(*_args: object, **_options: object) -> bool:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(module, "_point", refuse)
    with pytest.raises(RuntimeError, match="in the middle"):
        register(entry, Settings(home=tmp_path, registry=url))
    assert session.scalars(select(Version)).all() == []
    assert list((tmp_path / "artifacts" / "shapes").iterdir()) == []


def test_a_folder_stays_when_the_commits_answer_was_lost_because_a_version_may_name_it(
    tmp_path: Path, entry: Registration, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_session: Session) -> None:
        raise ConnectionError("no answer")

    monkeypatch.setattr(Session, "commit", lost)
    with pytest.raises(ConnectionError):
        register(entry, Settings(home=tmp_path, registry=url))
    assert len(list((tmp_path / "artifacts" / "shapes").iterdir())) == 1


def test_files_without_a_model_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match=r"needs a file model\.onnx"):
        register(Registration("shapes", {"other": b""}), Settings(home=tmp_path, registry=url))


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path, entry: Registration, url: str) -> None:
    (tmp_path / "registry.db").write_bytes(b"no database at all, " * 100)
    with pytest.raises(UserError, match="cannot be used: file is not a database"):
        register(entry, Settings(home=tmp_path, registry=url))
