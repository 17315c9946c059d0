"""Health: live while the process answers, ready while the database does."""

from __future__ import annotations

from fastapi import APIRouter

from mlpatterns.model_db.api.desk import TheDesk
from mlpatterns.model_db.api.failures import FAILURES

__all__ = ["router"]

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> dict[str, str]:
    """The process answers."""
    return {"health": "ok"}


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@router.get("/health/ready", responses={503: FAILURES[503]})
def ready(desk: TheDesk) -> dict[str, bool]:
    """The database answers too."""
    desk.answers()
    return {"ready": True}
