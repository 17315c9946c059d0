"""Every error as ``{"error": "…"}``: one sentence that describes the error, without internals."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from mlpatterns.errors import PredictionError
from mlpatterns.oip.status import http_status

__all__ = ["ERROR_RESPONSES", "Failure", "answer"]

log = logging.getLogger("mlpatterns")

SHOWN = 5  # mistakes that one error text names


class Failure(BaseModel):
    """The error in one sentence."""

    error: str


ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "Something sent is missing, unknown or of the wrong kind."},
    401: {"model": Failure, "description": "A key or token is needed, or not right."},
    404: {"model": Failure, "description": "There is no such row."},
    409: {"model": Failure, "description": "Others are in the way: the name is taken, or the row is in use."},
    413: {"model": Failure, "description": "The body is too large, or does not say its length."},
    503: {"model": Failure, "description": "The database does not answer; try again."},
}


def answer(app: FastAPI) -> None:
    """Adds the error handlers to `app`, and the error responses to its OpenAPI document."""
    documented = app.openapi

    def openapi() -> dict[str, Any]:
        document = documented()
        for operation in (operation for methods in document["paths"].values() for operation in methods.values()):
            operation["responses"].pop("422", None)  # FastAPI's own status for invalid requests; ours is 400
        for unused in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(unused, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    app.add_exception_handler(PredictionError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(PoolTimeout, _busy)
    app.add_exception_handler(Exception, _unforeseen)


async def _ours(_: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": str(error)}, http_status(error.code))


async def _invalid(_: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": _sentence(error.errors())}, 400)


def _sentence(mistakes: Sequence[Any]) -> str:
    """``model_name: Field required; …``: the first mistakes, each with its path in the body, path or query."""
    parts = [f"{'.'.join(map(str, each['loc'][1:])) or each['loc'][0]}: {each['msg']}" for each in mistakes[:SHOWN]]
    more = f"; and {len(mistakes) - SHOWN} more" if len(mistakes) > SHOWN else ""
    return "; ".join(parts) + more


async def _http(request: Request, error: Any) -> JSONResponse:
    listed = f"{request.scope.get('root_path', '')}/openapi.json"
    text = f"there is nothing at this path; {listed} lists what there is" if error.status_code == 404 else None
    return JSONResponse({"error": text or str(error.detail).lower()}, error.status_code, headers=error.headers)


async def _database(request: Request, error: Any) -> JSONResponse:
    request.app.state.database.failed(error)
    return JSONResponse({"error": "the registry's database does not answer; try again"}, 503, {"retry-after": "1"})


async def _busy(_: Request, error: Any) -> JSONResponse:
    log.error("no connection to the registry's database became free: %s", error)
    return JSONResponse({"error": "the registry has too many requests at once; try again"}, 503, {"retry-after": "1"})


async def _unforeseen(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "an internal error; the server's log has more"}, 500)
