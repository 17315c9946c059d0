"""The model DB on each of its databases: many writers at once, none of whom is lost or counted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from mlpatterns.errors import Conflict
from mlpatterns.model_db.database import Writer, engine
from mlpatterns.model_db.register import register
from mlpatterns.model_db.resources import aliases, experiments, models, projects, tags, versions
from mlpatterns.model_db.resources.paging import PageRequest, paged
from mlpatterns.model_db.upgrade import configuration, upgrade
from mlpatterns.settings import Settings
from services import DATABASES, database
from unit.model_db.conftest import entry

__all__ = ["entry"]

pytestmark = pytest.mark.integration

WRITERS, THREADS = 100, 12
FILES = {"sha256": "a" * 64, "manifest_sha256": "b" * 64, "artifact_url": "shapes/one"}


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def made(url: str) -> Iterator[Engine]:
    found = upgrade(url)
    yield found
    found.dispose()


def shapes(session: Session) -> Any:
    return models.ensure(session, projects.ensure(session, "demo").project_id, "shapes")


def at_once(made: Engine, times: int, work: Callable[[Session, int], Any]) -> list[Any]:
    """What each writer got; a conflict is an answer too."""

    def one(number: int) -> Any:
        try:
            return Writer(made).run(lambda session: work(session, number))
        except Conflict as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(times)))


@pytest.mark.slow
def test_a_hundred_registrations_at_once_on_an_empty_database_get_a_hundred_versions(made: Engine) -> None:
    numbers = at_once(made, WRITERS, lambda session, _: versions.add(session, shapes(session), **FILES).number)
    assert sorted(numbers) == list(range(1, WRITERS + 1))


@pytest.mark.slow
@pytest.mark.heavy  # a hundred clients of each database
def test_a_hundred_trainers_at_once_get_a_hundred_versions_with_their_files(
    url: str, entry: Any, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda _: register(entry, Settings(home=tmp_path, registry=url)), range(WRITERS)))
    assert sorted(one.version for one in found) == list(range(1, WRITERS + 1))
    assert all((one.folder / "model.onnx").is_file() for one in found)


def test_of_those_who_move_an_alias_from_where_they_saw_it_one_does(made: Engine) -> None:
    for _ in range(2):
        Writer(made).run(lambda session: versions.add(session, shapes(session), **FILES))
    for seen, then in ((None, 1), (1, 2)):
        tried = at_once(
            made, THREADS, lambda session, _: aliases.move(session, "shapes", "champion", then, seen)  # noqa: B023
        )  # fmt: skip
        assert sum(isinstance(each, Conflict) for each in tried) == THREADS - 1


@pytest.mark.parametrize("url", ["postgresql", "mysql"], indirect=True)
def test_an_alias_is_compared_as_it_is_now_and_not_as_the_session_saw_it(made: Engine) -> None:
    """In SQLite nobody else writes while a transaction does."""
    for _ in range(2):
        Writer(made).run(lambda session: versions.add(session, shapes(session), **FILES))
    Writer(made).run(lambda session: aliases.move(session, "shapes", "champion", 2))
    with Session(made) as session:
        seen = versions.by_number(session, "shapes", 2)
        assert seen.aliases == ["champion"]
        Writer(made).run(lambda other: aliases.move(other, "shapes", "champion", 1))
        with pytest.raises(Conflict, match="names version 1 now"):
            aliases.move(session, "shapes", "champion", 2, expected=2)


def test_of_those_who_add_to_one_experiment_none_is_lost(made: Engine) -> None:
    run = Writer(made).run(lambda session: experiments.add(session, shapes(session).model_id, "x")).experiment_id
    at_once(made, THREADS, lambda session, number: experiments.merge(session, run, "evaluations", {str(number): 1}))
    with Session(made) as session:
        assert set(experiments.by_id(session, run).evaluations or {}) == set(map(str, range(THREADS)))


def test_a_version_is_not_deleted_under_an_alias_that_is_set_meanwhile(made: Engine) -> None:
    for _ in range(5):
        number = Writer(made).run(lambda session: versions.add(session, shapes(session), **FILES)).number

        def race(session: Session, which: int, number: int = number) -> Any:
            if which % 2:
                return aliases.move(session, "shapes", "champion", number)
            return versions.delete(session, "shapes", number)

        try:
            at_once(made, 2, race)
        except Exception as error:  # the alias came second: there is no such version any more
            assert "has no version" in str(error)  # noqa: PT017
        with Session(made) as session:
            dangling = session.execute(
                text(
                    "SELECT COUNT(*) FROM aliases a LEFT JOIN versions v"
                    " ON v.model_id = a.model_id AND v.number = a.number WHERE v.number IS NULL"
                )
            ).scalar()
        assert dangling == 0


def test_names_are_searched_without_case_and_pages_follow_each_other(made: Engine) -> None:
    for name in ("Rot", "rotunde", "blau", "r%t"):
        Writer(made).run(partial(projects.ensure, project_name=name))
    with Session(made) as session:
        first, place = paged(session, projects.listed("ROT"), projects.ORDER, PageRequest(1))
        second, end = paged(session, projects.listed("ROT"), projects.ORDER, PageRequest(1, place))
        assert [each.project_name for each in (*first, *second)] == ["Rot", "rotunde"]
        assert end is None
        assert [each.project_name for each in session.scalars(projects.listed("%"))] == ["r%t"]


def test_tags_are_found_and_their_case_counts(made: Engine) -> None:
    Writer(made).run(lambda session: tags.set_tag(shapes(session), "Stage", "new"))
    with Session(made) as session:
        found = {tag: len(session.scalars(models.listed(tags=[tag])).all()) for tag in ("Stage", "stage", "Stage:new")}
    assert found == {"Stage": 1, "stage": 0, "Stage:new": 1}


def test_a_registry_of_the_first_revision_keeps_its_numbers_and_its_data_gain_digests(url: str) -> None:
    digest = "0123456789abcdef" * 4
    upgrade(url).dispose()
    old = engine(url)
    with old.begin() as connection:
        for table in ("deployments", "version_tags", "model_tags", "artifacts", "aliases", "versions", "experiments",
                      "models", "projects", "alembic_version"):  # fmt: skip
            connection.execute(text(f"DROP TABLE {table}"))
    with old.begin() as connection:
        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    now, data = "'2026-01-01 00:00:00'", f"'9 rows of iris sha256:{digest}'"
    with old.begin() as connection:
        for statement in (
            f"INSERT INTO projects VALUES ('p', 'demo', NULL, {now})",
            f"INSERT INTO models VALUES ('m', 'p', 'shapes', NULL, {now})",
            f"INSERT INTO experiments VALUES ('e', 'm', 'v', NULL, {data}, NULL, NULL, NULL, NULL, {now})",
            f"INSERT INTO versions VALUES ('v', 'm', 7, 'e', 'x', {now})",
        ):
            connection.execute(text(statement))
    old.dispose()
    made = upgrade(url)
    with Session(made) as session:
        assert models.by_name(session, "shapes").last_number == 7
        assert experiments.by_id(session, "e").dataset_sha256 == digest
    made.dispose()
