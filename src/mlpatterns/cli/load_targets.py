"""Makes the requests of `mlpatterns load URL`: the server's sample, a body, the rows of a CSV, or no body."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec import Struct

from mlpatterns.cli.server_request import address, send_request
from mlpatterns.load.attack import resolved
from mlpatterns.load.files import csv_bodies, read_file
from mlpatterns.load.sample import base_url, sample_target
from mlpatterns.load.target import Target, parse_url
from mlpatterns.user_errors import SettingsError, UserError

__all__ = ["RequestFlags", "chosen_targets"]

PATIENCE = 30.0  # seconds to wait for the sample


class RequestFlags(Struct, frozen=True):
    """The flags that choose the request."""

    sample: bool
    method: str | None
    body: Path | None
    data: Path | None
    header: list[str]

    @property
    def is_empty(self) -> bool:
        """Whether no flag chooses a request, so that the server's sample is sent."""
        return self.body is None and self.data is None and self.method is None


def chosen_targets(url: str, flags: RequestFlags, allow_remote: bool) -> list[Target]:
    """The targets to load.

    Without other flags, `url` is the address of a server or of its `/predict`, and the target sends the server's
    sample. The rows of a CSV go to `/predict` if `url` has no path and there is no --method, else to `url`.

    Raises:
        UserError: the address, a file, a header or the server's sample is invalid.
    """
    address(url)
    where = url if "://" in url else f"http://{url}"
    headers = tuple(_header(line) for line in flags.header)
    if flags.sample or flags.is_empty:
        return [_sample(where, headers, allow_remote)]
    if flags.data is not None and flags.method is None and parse_url(where).path in ("", "/"):
        where = f"{base_url(where)}/predict"  # only our servers accept {"data": [row]}
    method = (flags.method or "POST").upper()
    return [Target(where, method, headers, body) for body in _bodies(flags)]


def _bodies(flags: RequestFlags) -> list[bytes]:
    if flags.data is not None:
        return csv_bodies(read_file(flags.data), flags.data.name)
    return [b"" if flags.body is None else read_file(flags.body)]


def _sample(url: str, headers: tuple[tuple[str, str], ...], allow_remote: bool) -> Target:
    target = Target(f"{base_url(url)}/metadata", headers=headers)
    asyncio.run(resolved(target.origin, allow_remote))  # refuses another machine before any request is sent
    try:
        metadata = send_request("GET", target.url, None, dict(headers), PATIENCE)
    except UserError as error:
        if not str(error).startswith("the server answered"):
            raise
        raise UserError(
            f"there is no sample at {target.url}: {error}; --method GET loads an address as it is"
        ) from error
    return sample_target(url, metadata, headers)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not value.strip():
        raise SettingsError(f"{line!r} is not a header; write one like 'user-id: 7'")
    return name.strip(), value.strip()
