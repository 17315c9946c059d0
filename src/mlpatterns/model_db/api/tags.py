"""The routes of the tags of models and versions."""

from __future__ import annotations

from fastapi import APIRouter

from mlpatterns.model_db.api.bodies import Name, Number, TagBody
from mlpatterns.model_db.api.sessions import Database
from mlpatterns.model_db.resources import models, tags, versions
from mlpatterns.model_db.resources.rows import row
from mlpatterns.registry.records import ModelRow, VersionRow

__all__ = ["router"]

router = APIRouter(prefix="/models/name/{model_name}", tags=["tags"])


@router.put("/tags/{key}")
def tag_model(model_name: str, key: Name, body: TagBody, database: Database) -> ModelRow:
    """Add a tag to a model, or change its value."""
    return database.write(
        lambda session: row(ModelRow, tags.set_tag(models.by_name(session, model_name), key, body.value))
    )


@router.delete("/tags/{key}", status_code=204)
def untag_model(model_name: str, key: str, database: Database) -> None:
    """Remove a tag from a model."""
    database.write(lambda session: tags.remove(models.by_name(session, model_name), key))


@router.put("/versions/{number}/tags/{key}")
def tag_version(model_name: str, number: Number, key: Name, body: TagBody, database: Database) -> VersionRow:
    """Add a tag to a version, or change its value."""
    return database.write(
        lambda session: row(VersionRow, tags.set_tag(versions.by_number(session, model_name, number), key, body.value))
    )


@router.delete("/versions/{number}/tags/{key}", status_code=204)
def untag_version(model_name: str, number: Number, key: str, database: Database) -> None:
    """Remove a tag from a version."""
    database.write(lambda session: tags.remove(versions.by_number(session, model_name, number), key))
