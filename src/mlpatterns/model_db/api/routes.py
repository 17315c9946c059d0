"""All routes, below the version in the path."""

from __future__ import annotations

from fastapi import APIRouter, Depends, FastAPI

from mlpatterns.model_db.api import aliases, deployments, experiments, health, models, projects, tags, versions
from mlpatterns.model_db.api.access import user
from mlpatterns.model_db.api.failures import FAILURES

__all__ = ["include"]


def include(app: FastAPI, api_version: str) -> None:
    """Gives `app` the routes of every noun below ``/<api_version>/api``, and health beside it and at the root."""
    nouns = APIRouter(prefix=f"/{api_version}/api", dependencies=[Depends(user)], responses=FAILURES)
    for each in (projects, models, experiments, versions, aliases, tags, deployments):
        nouns.include_router(each.router)
    app.include_router(nouns)
    app.include_router(health.router)
    app.include_router(health.router, prefix=f"/{api_version}", include_in_schema=False)
