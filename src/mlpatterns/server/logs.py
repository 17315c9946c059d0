"""Logs as text for people or as JSON for machines. Each line names the request to which it belongs."""

from __future__ import annotations

import logging
import sys
import time
from contextvars import ContextVar

import msgspec

from mlpatterns.server.exchange import Exchange
from mlpatterns.settings import Settings

__all__ = ["configure_logs", "current_call", "log_access"]

current_call: ContextVar[Exchange | None] = ContextVar("current_call", default=None)
access = logging.getLogger("mlpatterns.access")


def configure_logs(settings: Settings) -> None:
    """Sends all logs, including uvicorn's, to standard error in the format of the settings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLogFormatter() if settings.log_format == "json" else Text())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(settings.log_level.upper())
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # psycopg logs each failed connection, and so does the store that opened the connection.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    # uvicorn formats an access line for every request if this logger or one of its parents has a handler.
    logging.getLogger("uvicorn.access").handlers.clear()
    logging.getLogger("uvicorn.access").propagate = False


def log_access(call: Exchange, status: int | str, seconds: float) -> None:
    scope = call.scope
    access.info(
        "%s %s %s %.1f ms", scope["method"], scope["path"], status, 1000 * seconds,
        extra={"fields": {"method": scope["method"], "path": scope["path"], "status": status,
                          "milliseconds": round(1000 * seconds, 3), "principal": call.context.principal}},
    )  # fmt: skip


def _identifiers() -> dict[str, str]:
    call = current_call.get()
    if call is None:
        return {}
    found = {"prediction_id": call.context.prediction_id}
    request_id = call.context.headers.get("x-request-id")
    if request_id:
        found["request_id"] = request_id[:128]
    return found


class JsonLogFormatter(logging.Formatter):
    """Formats each record as one line of JSON, so that text from outside cannot forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_identifiers(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def _printable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


class Text(logging.Formatter):
    """Time, level and message. Unprintable characters of a message are escaped, so that nobody can forge a line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        if not record.message.isprintable():
            record.message = "".join(map(_printable, record.message))
        identifiers = "".join(f" {name}={value!r}" for name, value in _identifiers().items())
        return super().formatMessage(record) + identifiers
