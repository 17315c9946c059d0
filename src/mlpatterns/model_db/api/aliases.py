"""The routes of aliases, below the name of their model."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlalchemy.orm import Session

from mlpatterns.errors import Conflict
from mlpatterns.model_db.api.access import command, command_if_on
from mlpatterns.model_db.api.bodies import AliasBody, Name, Number
from mlpatterns.model_db.api.sessions import Database
from mlpatterns.model_db.promotion import breaks_clients, worse_than_alias
from mlpatterns.model_db.resources import aliases
from mlpatterns.model_db.resources.rows import row
from mlpatterns.registry.records import AliasRow

__all__ = ["router"]

router = APIRouter(prefix="/models/name/{model_name}/aliases", tags=["aliases"])
Expecting = Annotated[Number | None, Query(description="The version that the alias must name now.")]


@router.get("")
def all_aliases(model_name: str, database: Database) -> list[AliasRow]:
    """The aliases of a model, by name."""
    return database.read(lambda session: [row(AliasRow, each) for each in aliases.listed(session, model_name)])


@router.get("/{alias}")
def alias_by_name(model_name: str, alias: str, database: Database) -> AliasRow:
    """The version that an alias names."""
    return database.read(lambda session: row(AliasRow, aliases.by_name(session, model_name, alias)))


@router.put("/{alias}", dependencies=[Depends(command_if_on)])
def move_alias(model_name: str, alias: Name, body: AliasBody, database: Database) -> AliasRow:
    """Move an alias to a version, if it names the expected version now: else 409, and nothing changes.

    Also 409 if the inputs, outputs or labels of the version differ from those of the version that the alias names, or
    if it is far worse: `force` moves the alias anyway. An alias decides which version serves, so this is a command: it
    needs the admin token if one is set."""
    if not body.force:
        database.read(lambda session: _check(session, model_name, alias, body.number, database.artifacts))
    return database.write(
        lambda session: row(AliasRow, aliases.move(session, model_name, alias, body.number, body.expected))
    )


def _check(session: Session, name: str, alias: str, number: int, root: str) -> None:
    refusal = breaks_clients(session, name, number, alias, root=root) or worse_than_alias(session, name, number, alias)
    if refusal:
        raise Conflict(f"{refusal}; `force` moves the alias all the same")


@router.delete("/{alias}", status_code=204, dependencies=[Depends(command)])
def delete_alias(model_name: str, alias: str, database: Database, expected: Expecting = None) -> None:
    """Delete an alias. A command: it needs the admin token."""
    wanted = aliases.ANY if expected is None else expected
    database.write(lambda session: aliases.delete(session, model_name, alias, wanted))
