"""Cache entries as bytes, for stores outside the process. A digest binds an entry to its key.

    MAGIC, 16 bytes of BLAKE2b over the key and the rest, `fresh_until` as a little-endian double, the response

The digest detects damaged bytes, which could otherwise give wrong numbers, and values stored under another key. It is
not a signature: anyone who can write to the store can forge answers.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

from mlpatterns.stores.cache import CacheEntry
from mlpatterns.tensors import DamagedData, decode_response, encode_response

__all__ = ["decode_entry", "encode_entry"]

MAGIC = b"mlpc2"  # change it when the format changes, so that values in the old format are rejected
DIGEST = 16
_UNTIL = struct.Struct("<d")


def encode_entry(key: str, entry: CacheEntry) -> bytes:
    """The bytes of an entry.

    Raises:
        Unstorable: the response cannot be encoded in this format.
    """
    body = _UNTIL.pack(entry.fresh_until) + encode_response(entry.response)
    return MAGIC + _digest(key, body) + body


def decode_entry(key: str, value: bytes) -> CacheEntry:
    """The entry that `encode_entry` encoded, with read-only tensors.

    Raises:
        DamagedData: `value` does not come from `encode_entry` with this key.
    """
    head = len(MAGIC) + DIGEST
    body = value[head:]
    if value[:head] != MAGIC + _digest(key, body) or len(body) < _UNTIL.size:
        raise DamagedData
    return CacheEntry(decode_response(body[_UNTIL.size :]), *_UNTIL.unpack_from(body))


def _digest(key: str, body: bytes) -> bytes:
    state = blake2b(key.encode(), digest_size=DIGEST, person=b"mlp entry")
    state.update(b"\0")  # a separator: keys contain no zero byte
    state.update(body)
    return state.digest()
