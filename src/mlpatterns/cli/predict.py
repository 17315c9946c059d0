"""`mlpatterns predict URL DATA`: sends data to a server and prints its prediction."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlunsplit

import msgspec
import typer

from mlpatterns.cli.flags import flag
from mlpatterns.cli.output import say
from mlpatterns.cli.predict_data import Kinds, parse_data
from mlpatterns.cli.server_request import address, send_request
from mlpatterns.user_errors import UserError, WrongUse

__all__ = ["command", "predict_url"]

IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM")  # the first bytes of files that are sent in base64


def command(
    url: Annotated[
        str, typer.Argument(help="The URL of the server, e.g. http://127.0.0.1:8000, or of a model's /predict.")
    ],
    data: Annotated[
        str,
        typer.Argument(
            help="JSON, rows like 5.1,3.5,1.4,0.2 or age=22,sex=m (several: one per line), @FILE with such data, a "
            "table or an image, or - for stdin."
        ),
    ],
    label: Annotated[bool, flag("Print the label too.", "--label")] = False,
    api_key: Annotated[str | None, flag("The API key, sent as x-api-key.")] = None,
    timeout: Annotated[float, flag("Seconds to wait for the answer.")] = 30.0,
) -> None:
    """Ask a server for a prediction and print its answer."""
    where = predict_url(url)
    headers = {"x-api-key": api_key} if api_key else {}
    body = parse_data(_read(data), lambda: _kinds(where, headers, timeout))
    say(send_request("POST", where, body, headers, timeout))
    if label:
        say(send_request("POST", f"{where}/label", body, headers, timeout))


def predict_url(url: str) -> str:
    """The address to post to: `/predict` below `url`, or `url` itself if it already ends so.

    Raises:
        WrongUse: `url` is not an http or https address.
    """
    parts = address(url)
    path = parts.path.rstrip("/").removesuffix("/label")
    return urlunsplit((parts.scheme, parts.netloc, path if path.endswith("/predict") else f"{path}/predict", "", ""))


def _kinds(where: str, headers: Mapping[str, str], timeout: float) -> Kinds:
    """The types of the columns from the server's /metadata; empty if it gives none: then each cell decides its type."""
    try:
        said = msgspec.json.decode(
            send_request("GET", f"{where.removesuffix('/predict')}/metadata", None, headers, timeout)
        )
    except (UserError, msgspec.MsgspecError):
        return {}
    kinds = said.get("data_type") if isinstance(said, dict) else None
    return kinds if isinstance(kinds, str | dict) else {}


def _read(data: str) -> str:
    try:
        if data == "-":
            return sys.stdin.read()
        if not data.startswith("@"):
            return data
        file = Path(data[1:]).read_bytes()
        return f'"{base64.b64encode(file).decode()}"' if file.startswith(IMAGES) else file.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"{data[1:]} cannot be read: {getattr(error, 'strerror', None) or error}") from error
