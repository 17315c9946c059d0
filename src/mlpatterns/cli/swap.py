"""`mlpatterns swap URL`: shows the version that a HotSwap serves, or replaces it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlunsplit

import msgspec
import typer

from mlpatterns.cli.flags import flag
from mlpatterns.cli.output import say
from mlpatterns.cli.server_request import NotFoundOnServer, address, send_request
from mlpatterns.settings import load_settings
from mlpatterns.user_errors import SettingsError, UserError

__all__ = ["command"]


def command(
    url: Annotated[str, typer.Argument(help="The URL of the server, e.g. http://127.0.0.1:8000.")],
    to: Annotated[int | None, typer.Option(min=1, help="Serve this version, whatever the alias names.")] = None,
    rollback: Annotated[bool, flag("Serve the version that served before.", "--rollback")] = False,
    force: Annotated[
        bool,
        flag("With --to: serve it even if its inputs, outputs or labels differ and clients break.", "--force"),
    ] = False,
    follow: Annotated[bool, flag("Return to the version that the alias names.", "--follow")] = False,
    piece: Annotated[
        str | None, flag("If there are several HotSwaps: the path of one, NAME or NAME/PART/… as /docs shows it.")
    ] = None,
    api_key: Annotated[str | None, flag("The API key, sent as x-api-key.")] = None,
    timeout: Annotated[float, flag("Seconds to wait for the answer.")] = 60.0,
) -> None:
    """Show which version a server's HotSwap serves; --to, --rollback and --follow change it, in every worker.

    Changes need the setting admin_token (MLPATTERNS_ADMIN_TOKEN), the same as the server's.
    """
    if (to is not None) + rollback + follow > 1:
        raise SettingsError("--to, --rollback and --follow exclude each other; give one of them")
    if force and to is None:
        raise SettingsError("--force needs --to NUMBER, the version to serve even if clients break")
    parts = address(url)
    base = "/".join((parts.path.rstrip("/"), *(("pieces", piece.strip("/")) if piece else ()), "swap"))
    path = base + ("/rollback" if rollback else "/follow" if follow else "")
    where = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    headers = {"x-api-key": api_key} if api_key else {}
    changes = to is not None or rollback or follow
    if changes:
        headers["authorization"] = f"Bearer {_token()}"
    told = {"version": to} | ({"force": True} if force else {})
    body = msgspec.json.encode(told) if to is not None else None
    try:
        say(send_request("POST" if changes else "GET", where, body, headers, timeout))
    except NotFoundOnServer as error:
        if changes:  # the 404 may be about the version
            raise
        raise UserError(f"{error}; {url} has no HotSwap{' of that path' if piece else ''}, or several: /docs shows its "
                        "pieces, and --piece takes the path of one") from error  # fmt: skip


def _token() -> str:
    token = load_settings().settings.admin_token
    if not token:
        raise SettingsError("a change needs the server's admin token: set MLPATTERNS_ADMIN_TOKEN")
    return token
