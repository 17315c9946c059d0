"""Aliases: names for versions, moved by compare-and-set."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from mlpatterns.errors import Conflict, NotFound
from mlpatterns.model_db.resources import models, versions
from mlpatterns.model_db.resources.rows import check_name
from mlpatterns.model_db.tables import Alias, now

__all__ = ["ANY", "Expected", "by_name", "delete", "listed", "move"]

ANY: Literal["any"] = "any"
Expected = int | None | Literal["any"]
"""What an alias must name before a change: a version, no version (None), or anything (ANY)."""


def listed(session: Session, model_name: str) -> list[Alias]:
    """The aliases of a model, by name."""
    model = models.by_name(session, model_name)
    return list(session.scalars(select(Alias).where(Alias.model_id == model.model_id).order_by(Alias.alias)))


def by_name(session: Session, model_name: str, alias: str) -> Alias:
    check_name("the alias", alias)
    found = session.get(Alias, (models.by_name(session, model_name).model_id, alias))
    if found is None:
        raise NotFound(f"the model {model_name} has no alias of this name")
    return found


def move(session: Session, model_name: str, alias: str, number: int, expected: Expected = ANY) -> Alias:
    """Moves an alias to a version, if it names the `expected` version now.

    Raises:
        InvalidInput: `alias` is not a valid name.
        NotFound: there is no such model or version.
        Conflict: the alias names something else, which the error text gives.
    """
    check_name("the alias", alias)
    version = versions.by_number(session, model_name, number)
    found = _locked(session, version.model_id, alias)
    _compare(found, expected)
    if found is None:
        found = Alias(model_id=version.model_id, alias=alias, number=number)
        session.add(found)
    else:
        found.number, found.updated_datetime = number, now()
    session.flush()
    return found


def delete(session: Session, model_name: str, alias: str, expected: Expected = ANY) -> None:
    """Deletes an alias, if it names the `expected` version; raises the same errors as `move`."""
    check_name("the alias", alias)
    found = _locked(session, models.by_name(session, model_name).model_id, alias)
    if found is None:
        raise NotFound(f"the model {model_name} has no alias of this name")
    _compare(found, expected)
    session.delete(found)


def _locked(session: Session, model_id: str, alias: str) -> Alias | None:
    """The row, locked until the transaction ends, so that two transactions compare one after the other. It is read from
    the database again, because the session may have an older copy of it from the aliases of a version."""
    query = select(Alias).where(Alias.model_id == model_id, Alias.alias == alias).with_for_update()
    return session.scalar(query, execution_options={"populate_existing": True})


def _compare(found: Alias | None, expected: Expected) -> None:
    named = found.number if found is not None else None
    if expected not in (ANY, named):
        says = "names nothing" if named is None else f"names version {named}"
        raise Conflict(f"the alias {says} now, which was not expected; read it again before you move it")
