"""The ObjectStore in S3 or a compatible service: `s3://bucket/prefix`.

Keys, region and endpoint come from the usual environment variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_SESSION_TOKEN`, `AWS_REGION` and `AWS_ENDPOINT_URL`, or from the role of the machine. An object is visible only
when it is complete, and then survives a kill of its writer. `create` is a conditional put: it fails if the object
exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from mlpatterns.errors import Conflict, NotFound, TooLarge, Unavailable
from mlpatterns.stores.objects import ObjectStore, StoredObject, checked_key, is_key
from mlpatterns.user_errors import MissingExtra, SettingsError

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import RetryConfig, S3Store

__all__ = ["S3Objects"]

CONNECT = timedelta(seconds=3)
READ, PUT = timedelta(hours=1), timedelta(minutes=10)  # time limits for a whole object
SILENCE = timedelta(seconds=4)  # the longest wait for the next byte of an answer; after it, the store counts as down
RETRIES, RETRYING = 1, timedelta(seconds=10)
CHUNK = 1 << 20  # bytes
_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([^?#]*))?")


class S3Objects(ObjectStore):
    """Objects of a bucket below a prefix. It connects at the first call."""

    def __init__(self, where: str) -> None:
        self._where = where
        # No answer arrives while a large object is sent, so a put has only a limit for its total time.
        self._store, self._putting = _opened(where, read_timeout=SILENCE, timeout=READ), _opened(where, timeout=PUT)

    @classmethod
    def open(cls, url: str) -> Self:
        match = _URL.fullmatch(url)
        prefix = (match[2] or "").strip("/") if match else ""
        if match is None or (prefix and not is_key(prefix)):  # no URL in the error: it may contain a secret
            raise SettingsError(
                "the URL of objects in S3 must be s3://BUCKET/PREFIX, and the access keys must be in AWS_… variables"
            )
        where = f"s3://{match[1]}/{prefix}".rstrip("/")
        return cls(where)

    def chunks(self, key: str, most: int) -> Iterator[bytes]:
        with self._answering(key):
            found = self._store.get(checked_key(key))
            if found.meta["size"] > most:
                raise TooLarge(f"the object {key} has more than {most} bytes")
            yield from map(bytes, found.stream(min_chunk_size=CHUNK))

    def create(self, key: str, content: bytes) -> None:
        with self._answering(key):  # in one part: a multipart put cannot be conditional
            self._putting.put(checked_key(key), content, mode="create", use_multipart=False)

    def listed(self, folder: str = "") -> list[StoredObject]:
        with self._answering(folder):
            pages = self._store.list(f"{checked_key(folder)}/" if folder else None)
            found = [_stored(one) for page in pages for one in page]
        return sorted(found, key=lambda one: one.key)

    def delete(self, key: str) -> None:
        with self._answering(key):
            self._store.delete(checked_key(key))

    @contextmanager
    def _answering(self, key: str) -> Iterator[None]:
        """Turns errors of the store into errors of mlpatterns, because its own texts are long and contain addresses."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except AlreadyExistsError as error:
            raise Conflict(f"there is an object {key} already, and objects are never overwritten") from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise Unavailable(f"{self._where} refuses these AWS keys") from error
        except (BaseError, OSError) as error:
            if "NoSuchBucket" in str(error):
                raise Unavailable(f"{self._where} cannot be used: there is no such bucket") from error
            if isinstance(error, FileNotFoundError):
                raise NotFound(f"there is no object {key}") from error
            raise Unavailable(f"{self._where} gives an unexpected answer") from error


def _stored(one: ObjectMeta) -> StoredObject:
    return StoredObject(one["path"], one["size"], one["last_modified"].timestamp())


def _opened(url: str, **bounds: timedelta) -> S3Store:
    """A client with these time limits. It does not connect yet.

    Raises:
        MissingExtra: obstore is not installed.
        SettingsError: the environment variables for S3 cannot be used.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError as error:
        raise MissingExtra("S3", "s3") from error
    # HTTP without TLS is used only if the endpoint URL says `http://`; Amazon's own endpoints never do.
    options: Any = {"allow_http": True, "connect_timeout": CONNECT, **bounds}
    try:
        retries: RetryConfig = {"max_retries": RETRIES, "retry_timeout": RETRYING}
        return S3Store.from_url(url, client_options=options, retry_config=retries)
    except BaseError as error:
        raise SettingsError(f"{url} cannot be used: look at the AWS_… variables of the environment") from error
