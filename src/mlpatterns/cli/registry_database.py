"""The model registry of `mlpatterns registry` in a database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from mlpatterns.cli.registry_access import Row, TagOwner, words
from mlpatterns.errors import InvalidInput, PredictionError
from mlpatterns.model_db import promotion
from mlpatterns.model_db.artifacts import remove_unnamed
from mlpatterns.model_db.database import Writer, unusable
from mlpatterns.model_db.resources import aliases, models, tags, versions
from mlpatterns.model_db.sweeping import sweep
from mlpatterns.model_db.upgrade import upgrade
from mlpatterns.stores import open_objects
from mlpatterns.user_errors import UserError, WrongUse

from sqlalchemy import Engine  # isort: skip - after `database`, whose error names the missing extra
from sqlalchemy.exc import DBAPIError  # isort: skip
from sqlalchemy.orm import Session  # isort: skip

__all__ = ["DatabaseRegistryAccess", "opened_database"]


@contextmanager
def opened_database(url: str, artifacts: str) -> Iterator[DatabaseRegistryAccess]:
    """Opens the database and upgrades its tables, but never creates them. A refusal becomes a UserError."""
    engine = upgrade(url, create="never")
    try:
        yield DatabaseRegistryAccess(engine, artifacts)
    except InvalidInput as error:
        raise WrongUse(str(error)) from error
    except PredictionError as error:
        raise UserError(str(error)) from error
    except DBAPIError as error:
        raise unusable(url, error) from error
    finally:
        engine.dispose()


class DatabaseRegistryAccess:
    """A RegistryAccess over a database; it also has the base URL of the artifacts."""

    def __init__(self, engine: Engine, artifacts: str) -> None:
        self._engine, self._artifacts = engine, artifacts

    def models(self, search: str | None, tags: Sequence[str]) -> list[Row]:
        with Session(self._engine) as session:
            found = session.scalars(models.listed(search, tags).order_by(*models.ORDER)).all()
            return [
                (each.model_name, str(each.last_number),
                 ", ".join(f"{one.alias}:{one.number}" for one in aliases.listed(session, each.model_name)),
                 words(each.tags))
                for each in found
            ]  # fmt: skip

    def versions(self, name: str) -> list[Row]:
        with Session(self._engine) as session:
            query = versions.listed(models.by_name(session, name)).order_by(*versions.ORDER)
            return [
                (str(each.number), ", ".join(each.aliases),
                 ", ".join(one.deployment_name for one in each.deployments if one.ended_datetime is None),
                 words(each.tags), f"{each.created_datetime:%Y-%m-%d %H:%M} UTC", each.sha256[:12])
                for each in session.scalars(query).unique()
            ]  # fmt: skip

    def behind(self, name: str, number: int, alias: str) -> str:
        with Session(self._engine) as session:
            return promotion.worse_than_alias(session, name, number, alias)

    def move(
        self, name: str, alias: str, number: int, expected: int | Literal["any"] | None, *, force: bool = False
    ) -> None:
        Writer(self._engine).run(lambda session: aliases.move(session, name, alias, number, expected))

    def tag(self, owner: TagOwner, given: Mapping[str, str]) -> str:
        name, number = owner

        def work(session: Session) -> str:
            tagged = models.by_name(session, name) if number is None else versions.by_number(session, name, number)
            for key, value in given.items():
                if value:
                    tags.set_tag(tagged, key, value)
                else:
                    tags.remove(tagged, key)
            return words(tagged.tags)

        return Writer(self._engine).run(work)

    def delete(self, name: str, number: int) -> str:
        open_objects(self._artifacts)  # a wrong URL fails here, before anything is deleted
        url = Writer(self._engine).run(lambda session: versions.delete(session, name, number))
        gone = remove_unnamed(self._artifacts, url)
        return "" if gone else "; its files could not be deleted: `mlpatterns registry sweep` removes them later"

    def sweep(self, *, dry: bool) -> list[tuple[str, int]]:
        return [(one.url, one.bytes) for one in sweep(self._engine, self._artifacts, dry=dry)]
