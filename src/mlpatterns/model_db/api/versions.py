"""The routes of versions, below the name of their model."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from mlpatterns.model_db.api.access import command
from mlpatterns.model_db.api.bodies import Number, VersionBody
from mlpatterns.model_db.api.models import Tags
from mlpatterns.model_db.api.sessions import Database, Listing
from mlpatterns.model_db.artifacts import check_published, remove_unnamed
from mlpatterns.model_db.resources import models, versions
from mlpatterns.model_db.resources.rows import row
from mlpatterns.registry.records import VersionRow

__all__ = ["router"]

router = APIRouter(prefix="/models/name/{model_name}/versions", tags=["versions"])


@router.get("")
def all_versions(model_name: str, listing: Listing, tag: Tags = []) -> list[VersionRow]:  # noqa: B006 - FastAPI copies
    """The versions of a model, by number."""
    return listing.rows(
        VersionRow, lambda session: versions.listed(models.by_name(session, model_name), tag), versions.ORDER
    )


@router.get("/{number}")
def version_by_number(model_name: str, number: Number, database: Database) -> VersionRow:
    """One version."""
    return database.read(lambda session: row(VersionRow, versions.by_number(session, model_name, number)))


@router.post("")
def add_version(model_name: str, body: VersionBody, database: Database) -> VersionRow:
    """Add the model's next version, whose files are already stored. No alias names it yet.

    If `artifact_url` is below the artifacts of this service, the manifest is read: 409 if there is none, 400 if a
    digest differs. A URL with a scheme that is not below the artifacts is not checked."""
    given = body.model_dump()
    check_published(database.artifacts, **{name: given[name] for name in ("artifact_url", "manifest_sha256", "sha256")})
    return database.write(
        lambda session: row(VersionRow, versions.add(session, models.by_name(session, model_name), **given))
    )


@router.delete("/{number}", status_code=204, dependencies=[Depends(command)])
def delete_version(model_name: str, number: Number, database: Database) -> None:
    """Delete a version that no alias names and that serves nowhere; its number is never reused, and its files are
    deleted too. A command: it needs the admin token."""
    remove_unnamed(database.artifacts, database.write(lambda session: versions.delete(session, model_name, number)))
