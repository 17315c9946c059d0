"""What the registry answers: the version, or which part of the reference is not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mlpatterns.errors import MissingExtra, UnknownName
from mlpatterns.model_db import database
from mlpatterns.model_db.lookup import look_up
from mlpatterns.model_db.register import Entry, register
from mlpatterns.registry.question import Failure, Question
from mlpatterns.stores.registry import Answer


@pytest.fixture
def registered(tmp_path: Path, entry: Entry, url: str) -> str:
    for promote in (True, False):
        register(entry, home=tmp_path, url=url, promote=promote)
    return url


def sentence(answer: Answer | Failure) -> str:
    assert isinstance(answer, Failure)
    return str(answer.error())


def test_a_version_and_an_alias_are_found(registered: str) -> None:
    by_alias = look_up(Question(registered, "shapes", "champion", None))
    by_number = look_up(Question(registered, "shapes", "champion", 2))
    assert isinstance(by_alias, Answer)
    assert isinstance(by_number, Answer)
    assert (by_alias.version, by_number.version) == (1, 2)
    assert by_alias.folder != by_number.folder


@pytest.mark.parametrize(
    ("name", "alias", "version", "text"),
    [
        (
            "shape",
            "champion",
            None,
            "there is no model 'shape'; did you mean 'shapes'? "  # noqa: ISC004
            "`mlpatterns registry import FILE.onnx --name shape` makes it",
        ),
        (
            "iris_sklearn_svc",
            "champion",
            None,
            "there is no model 'iris_sklearn_svc'; there is shapes; `mlpatterns train iris_sklearn_svc` makes it",
        ),
        ("shapes", "champoin", None, "there is no model alias 'shapes@champoin'; did you mean 'shapes@champion'?"),
        ("shapes", "champion", 7, "there is no model version 'shapes:7'; its latest is 2"),
    ],
)
def test_what_is_not_there_is_said_with_what_there_is(
    registered: str, name: str, alias: str, version: int | None, text: str
) -> None:
    answer = look_up(Question(registered, name, alias, version))
    assert sentence(answer) == text
    assert isinstance(answer, Failure)
    assert isinstance(answer.error(), UnknownName)


def test_names_are_told_apart_by_case(registered: str) -> None:
    assert "did you mean 'shapes'" in sentence(look_up(Question(registered, "Shapes", "champion", None)))


def test_a_registry_without_tables_knows_no_model(tmp_path: Path, url: str) -> None:
    (tmp_path / "registry.db").touch()
    text = sentence(look_up(Question(url, "shapes", "champion", None)))
    assert text == "there is no model 'shapes'; `mlpatterns registry import FILE.onnx --name shapes` makes it"


def test_a_database_that_is_down_is_a_sentence_without_its_password() -> None:
    text = sentence(look_up(Question("postgresql://ann:s3cret@127.0.0.1:1/models", "shapes", "champion", None)))
    assert text.startswith("the registry at postgresql://ann:***@127.0.0.1:1/models cannot be used: ")
    assert "s3cret" not in text


def test_without_sqlalchemy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy.exc", None)
    answer = look_up(Question(url, "shapes", "champion", None))
    assert isinstance(answer, Failure)
    assert isinstance(answer.error(), MissingExtra)
    assert sentence(answer) == "the registry needs an extra: pip install 'mlpatterns[registry]'"


def test_without_a_driver_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_args: object, **_options: object) -> None:
        raise ModuleNotFoundError("psycopg")

    monkeypatch.setattr(database, "create_engine", missing)
    answer = look_up(Question("postgresql://db/models", "shapes", "champion", None))
    assert sentence(answer) == "a PostgreSQL registry needs an extra: pip install 'mlpatterns[postgres]'"
