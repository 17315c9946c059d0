"""What may be set of a cache, and what a caller may ask of one."""

from __future__ import annotations

from collections.abc import Mapping

from mlpatterns.errors import CompositionError

__all__ = ["check_options", "wishes_of"]

WISHES, NO_WISHES = frozenset({"no-cache", "no-store"}), frozenset[str]()
MOST_SECONDS = 10 * 366 * 86_400


def check_options(ttl: float, stale_if_error: float, max_entry_bytes: int, store_timeout: float) -> None:
    """
    Raises:
        CompositionError: a value that cannot be.
    """
    if not (0 < ttl <= MOST_SECONDS and 0 <= stale_if_error <= MOST_SECONDS):
        raise CompositionError("ttl must be more than 0 seconds, stale_if_error not less, and both under ten years")
    if not (max_entry_bytes > 0 and store_timeout > 0):
        raise CompositionError("max_entry_bytes and store_timeout must be greater than 0")


def wishes_of(headers: Mapping[str, str]) -> frozenset[str]:
    """Those of RFC 9111, section 5.2.1, that a cache of answers can follow."""
    if "cache-control" not in headers:
        return NO_WISHES
    return WISHES.intersection([word.strip() for word in headers["cache-control"].lower().split(",")])
