"""Cache entries as bytes, for stores outside the process, bound to their key by a digest.

    MAGIC, 16 bytes of BLAKE2b over key and what follows, until when it is fresh as a double, the response

The digest finds damage that would else be a wrong number, and a value that lies under another's key. It is no
signature: whoever may write to a store may forge answers.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

from mlpatterns.stores.cache import CacheEntry
from mlpatterns.tensors import Damaged, decode_response, encode_response

__all__ = ["decode_entry", "encode_entry"]

MAGIC = b"mlpc2"  # change it with the form of what follows: old values are then no entries
DIGEST = 16
_UNTIL = struct.Struct("<d")


def encode_entry(key: str, entry: CacheEntry) -> bytes:
    """The bytes of an answer that is done and not degraded.

    Raises:
        Unstorable: it has no form here.
    """
    body = _UNTIL.pack(entry.fresh_until) + encode_response(entry.response)
    return MAGIC + _digest(key, body) + body


def decode_entry(key: str, value: bytes) -> CacheEntry:
    """What `encode_entry` was given, with tensors that cannot be written to.

    Raises:
        Damaged: `value` is anything else.
    """
    head = len(MAGIC) + DIGEST
    body = value[head:]
    if value[:head] != MAGIC + _digest(key, body) or len(body) < _UNTIL.size:
        raise Damaged
    return CacheEntry(decode_response(body[_UNTIL.size :]), *_UNTIL.unpack_from(body))


def _digest(key: str, body: bytes) -> bytes:
    state = blake2b(key.encode(), digest_size=DIGEST, person=b"mlp entry")
    state.update(b"\0")  # no key has one
    state.update(body)
    return state.digest()
