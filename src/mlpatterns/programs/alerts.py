"""Alerts to a webhook: an HTTP POST of JSON, which is retried for a day until it is delivered at least once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from msgspec import json

from mlpatterns.predictor import Runtime
from mlpatterns.stores.monitor import MonitorStore, Window

if TYPE_CHECKING:
    from aiohttp import ClientSession

__all__ = ["Webhook", "payload"]

log = logging.getLogger("mlpatterns")

TIMEOUT = 5.0  # seconds for one attempt
ATTEMPTS = 3
PAUSE = 1.0  # seconds after the first failure; doubled after each further one
GIVE_UP = 86_400.0  # seconds: an alert that could not be delivered within a day is dropped


class Webhook:
    """Posts the windows in which alerts began or ended to the address in the setting `alert_url`, and to no other.

    A post that fails is repeated at the next call. After a kill, a post may be sent twice, but it is not lost; both
    have the same `window`.
    """

    def __init__(self, url: str, store: MonitorStore, runtime: Runtime) -> None:
        self._url, self._store, self._runtime = url, store, runtime
        self._failed = runtime.metrics.counter(
            "mlpatterns_monitor_webhook_failures_total", "Alerts that a webhook did not take.", piece=runtime.path
        )

    async def post_pending(self) -> None:
        """Posts the alerts that have not been delivered, and stops at the first that fails."""
        path = self._runtime.path
        unnotified = await self._store.unnotified(path, self._runtime.clock.time() - GIVE_UP)
        if not unnotified:
            return
        from aiohttp import ClientSession, ClientTimeout

        async with ClientSession(timeout=ClientTimeout(total=TIMEOUT), trust_env=False) as session:
            for window in unnotified:
                if not await self._is_delivered(session, payload(path, window)):
                    return
                await self._store.mark_notified(path, window.number)

    async def _is_delivered(self, session: ClientSession, body: dict[str, Any]) -> bool:
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._runtime.clock.sleep(PAUSE * 2 ** (attempt - 1))
            why = await self._attempt(session, json.encode(body))
            if not why:
                return True
        self._failed.inc()
        log.warning("the webhook of alert_url did not accept an alert: %s; it will be sent again later", why)
        return False

    async def _attempt(self, session: ClientSession, body: bytes) -> str:
        """Why the post failed; empty if it succeeded. The text omits the address, which may contain a secret."""
        from aiohttp import ClientError

        try:
            async with session.post(
                self._url, data=body, headers={"content-type": "application/json"}, allow_redirects=False
            ) as answer:
                return "" if answer.status < 300 else f"it answered {answer.status}"
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            return type(error).__name__


def payload(path: str, window: Window) -> dict[str, Any]:
    """The body of the post; `text` is a sentence for chat services that show only this field."""
    said = ((window.raised, "drifted"), (window.cleared, "is as before"))
    changes = [f"{' and '.join(names)} {word}" for names, word in said if names]
    return {
        "text": f"{path}, {window.model}:{window.version}: {', '.join(changes)}",
        "monitor": path,
        "model": window.model,
        "version": window.version,
        "window": window.number,
        "began": window.began,
        "ended": window.ended,
        "rows": window.rows,
        "state": "alert" if window.alerting else "clear",
        "raised": window.raised,
        "cleared": window.cleared,
        "alerting": window.alerting,
        "details": window.details,
    }
