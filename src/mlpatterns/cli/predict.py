"""`mlpatterns predict URL DATA`: ask a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
import typer

from mlpatterns.cli.output import say
from mlpatterns.errors import UserError

if TYPE_CHECKING:
    from urllib.request import Request

__all__ = ["command", "parse_data", "predict_url"]

LONGEST = 300  # characters of an answer that is not ours, when it is shown


def command(
    url: Annotated[str, typer.Argument(help="Of the server, e.g. http://127.0.0.1:8000, or of a model's /predict.")],
    data: Annotated[
        str, typer.Argument(help="JSON, rows like 5.1,3.5,1.4,0.2 (several: one a line), @FILE, or - for stdin.")
    ],
    label: Annotated[bool, typer.Option("--label", help="Ask for the label too.")] = False,
    api_key: Annotated[str | None, typer.Option(help="Sent as x-api-key.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 30.0,
) -> None:
    """Ask a server for a prediction and print its answer."""
    body = parse_data(_read(data))
    where = predict_url(url)
    say(_post(where, body, api_key, timeout))
    if label:
        say(_post(f"{where}/label", body, api_key, timeout))


def predict_url(url: str) -> str:
    """The address to post to: `/predict` below `url`, unless that is where it points already.

    Raises:
        UserError: it is no http address.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{url!r} is no address; write one like http://127.0.0.1:8000")
    path = parts.path.rstrip("/").removesuffix("/label")
    return urlunsplit((parts.scheme, parts.netloc, path if path.endswith("/predict") else f"{path}/predict", "", ""))


def parse_data(text: str) -> bytes:
    """The body to send: JSON objects as they are, lists, strings and bare rows as `{"data": …}`.

    Raises:
        UserError: it is neither JSON nor rows of numbers.
    """
    text = text.strip()
    if text[:1] in ("{", "[", '"'):
        try:
            value = msgspec.json.decode(text)
        except msgspec.MsgspecError as error:
            raise UserError(f"the data is not JSON: {error}") from error
        return text.encode() if isinstance(value, dict) else _wrapped(value)
    try:
        return _wrapped([[float(cell) for cell in line.split(",")] for line in text.splitlines() if line.strip()])
    except ValueError:
        raise UserError("the data is neither JSON nor rows of numbers like 5.1,3.5,1.4,0.2") from None


def _wrapped(rows: Any) -> bytes:
    if not rows:
        raise UserError("there is no data to send; write a row like 5.1,3.5,1.4,0.2")
    whole = isinstance(rows, str) or isinstance(rows[0], list | dict | str)
    return msgspec.json.encode({"data": rows if whole else [rows]})


def _read(data: str) -> str:
    try:
        if data == "-":
            return sys.stdin.read()
        return Path(data[1:]).read_text(encoding="utf-8") if data.startswith("@") else data
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{data[1:]} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _post(url: str, body: bytes, api_key: str | None, timeout: float) -> str:
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    headers = {"content-type": "application/json", **({"x-api-key": api_key} if api_key else {})}
    request: Request = Request(url, body, headers, method="POST")  # noqa: S310 - predict_url lets only http through
    try:
        with urlopen(request, timeout=timeout) as answer:  # noqa: S310
            text: str = answer.read().decode()
            return text
    except HTTPError as error:
        raise UserError(_sentence(error.read().decode(errors="replace"), error.code)) from error
    except TimeoutError as error:
        raise UserError(f"{url} did not answer in {timeout:g} s") from error
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"no answer from {url}: {getattr(reason, 'strerror', None) or reason}") from error


def _sentence(body: str, status: int) -> str:
    """What a server says is wrong."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        found = None
    said = found.get("error") if isinstance(found, dict) else None
    return f"the server answered {status}: {said or body.strip()[:LONGEST] or 'nothing more'}"
