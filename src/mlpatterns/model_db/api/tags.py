"""The routes of tags, of models and of versions."""

from __future__ import annotations

from fastapi import APIRouter

from mlpatterns.model_db.api.bodies import Name, Number, TagBody
from mlpatterns.model_db.api.desk import TheDesk
from mlpatterns.model_db.nouns import models, tags, versions
from mlpatterns.model_db.nouns.rows import row
from mlpatterns.registry.records import ModelRow, VersionRow

from sqlalchemy.orm import Session  # isort: skip

__all__ = ["router"]

router = APIRouter(prefix="/models/name/{model_name}", tags=["tags"])


@router.put("/tags/{key}")
def tag_model(model_name: str, key: Name, body: TagBody, desk: TheDesk) -> ModelRow:
    """Give a model a tag, or its tag another value."""

    def work(session: Session) -> ModelRow:
        model = models.by_name(session, model_name)
        tags.set_tag(model, key, body.value)
        return row(ModelRow, model)

    return desk.write(work)


@router.delete("/tags/{key}", status_code=204)
def untag_model(model_name: str, key: str, desk: TheDesk) -> None:
    """Take a model's tag away."""
    desk.write(lambda session: tags.remove(models.by_name(session, model_name), key))


@router.put("/versions/{number}/tags/{key}")
def tag_version(model_name: str, number: Number, key: Name, body: TagBody, desk: TheDesk) -> VersionRow:
    """Give a version a tag, or its tag another value."""

    def work(session: Session) -> VersionRow:
        version = versions.by_number(session, model_name, number)
        tags.set_tag(version, key, body.value)
        return row(VersionRow, version)

    return desk.write(work)


@router.delete("/versions/{number}/tags/{key}", status_code=204)
def untag_version(model_name: str, number: Number, key: str, desk: TheDesk) -> None:
    """Take a version's tag away."""
    desk.write(lambda session: tags.remove(versions.by_number(session, model_name, number), key))
