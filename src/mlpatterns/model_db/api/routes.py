"""All routes, below the API version in the path; and health: live if the process answers, ready if its database too."""

from __future__ import annotations

from fastapi import APIRouter, Depends, FastAPI

from mlpatterns.model_db.api import aliases, deployments, experiments, models, projects, tags, versions
from mlpatterns.model_db.api.access import user
from mlpatterns.model_db.api.failures import ERROR_RESPONSES
from mlpatterns.model_db.api.plain_paths import legible
from mlpatterns.model_db.api.sessions import Database

__all__ = ["include"]

probes = APIRouter(tags=["health"])


def include(app: FastAPI, api_version: str) -> None:
    """Adds to `app` the routes of every resource below ``/<api_version>/api``, and health below ``/<api_version>`` and
    at the root."""
    resources = APIRouter(
        prefix=f"/{api_version}/api", dependencies=[Depends(user), Depends(legible)], responses=ERROR_RESPONSES
    )
    for each in (projects, models, experiments, versions, aliases, tags, deployments):
        resources.include_router(each.router)
    app.include_router(resources)
    app.include_router(probes)
    app.include_router(probes, prefix=f"/{api_version}", include_in_schema=False)


@probes.get("/health")
async def health() -> dict[str, str]:
    """The process answers."""
    return {"health": "ok"}


@probes.get("/health/live")
async def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@probes.get("/health/ready", responses={503: ERROR_RESPONSES[503]})
def ready(database: Database) -> dict[str, bool]:
    """The process and its database answer."""
    database.answers()
    return {"ready": True}
