"""Which of 10,000 buckets a unit is in, and which arm has a bucket; a change of weights moves few buckets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from msgspec import Struct

from mlpatterns.errors import InvalidInput

__all__ = ["BUCKETS", "MOST_ARMS", "Allocation", "allocated", "bucket_of", "reconciled", "shares", "unit_of"]

BUCKETS = 10_000
MOST_ARMS = 100  # so that the longest document stays below the 64 KiB of a ControlStore


class Allocation(Struct, frozen=True):
    """The arm of each bucket, as runs of adjacent buckets with the same arm.

    Attributes:
        weights: the relative weight of each arm.
        arms: the names of the arms; `runs` refers to them by index.
        runs: index, count, index, count … from bucket 0 on; the counts add up to 10,000.
    """

    weights: Mapping[str, float]
    arms: tuple[str, ...]
    runs: tuple[int, ...]

    def table(self) -> list[str]:
        """The arm of each bucket.

        Raises:
            ValueError: `runs` does not give one arm for each of 10,000 buckets.
        """
        found: list[str] = []
        for index, count in zip(self.runs[::2], self.runs[1::2], strict=True):
            if not (0 <= index < len(self.arms) and count > 0):
                raise ValueError("a run of buckets belongs to no arm")
            found += [self.arms[index]] * count
        if len(found) != BUCKETS:
            raise ValueError(f"{len(found)} buckets are allocated, not {BUCKETS}")
        return found

    def counts(self) -> dict[str, int]:
        """The number of buckets of each arm."""
        found = dict.fromkeys(self.arms, 0)
        for index, count in zip(self.runs[::2], self.runs[1::2], strict=True):
            found[self.arms[index]] += count
        return found


def unit_of(salt: str, key: str) -> str:
    """A pseudonym of the sticky key: 16 hexadecimal digits of BLAKE2b, without a secret key."""
    return hashlib.blake2b(f"{salt}\0{key}".encode(errors="surrogatepass"), digest_size=8).hexdigest()


def bucket_of(unit: str) -> int:
    """The bucket of a pseudonym. Because 2**64 is much larger than 10,000, the bias of a bucket is less than 1e-15."""
    return int(unit, 16) % BUCKETS


def shares(weights: Mapping[str, float]) -> dict[str, int]:
    """The number of buckets by arm in proportion to the weights, by largest remainders (Hamilton's method).

    If remainders are equal, earlier arms come first.

    Raises:
        InvalidInput: a weight is not a number from 0 to 1e12, all are 0, or one is too small to get a bucket.
    """
    total = 0.0
    for arm, weight in weights.items():
        if not 0 <= weight < 1e12:
            raise InvalidInput(f"the weight of {arm!r} must be from 0 to 1e12, not {weight}")
        total += weight
    if total <= 0:
        raise InvalidInput("one of the weights must be greater than 0")
    exact = {arm: weight / total * BUCKETS for arm, weight in weights.items()}
    whole = {arm: int(value) for arm, value in exact.items()}
    order = sorted(exact, key=lambda arm: whole[arm] - exact[arm])  # stable: earlier arms first
    for arm in order[: BUCKETS - sum(whole.values())]:
        whole[arm] += 1
    for arm, weight in weights.items():
        if weight > 0 and not whole[arm]:
            raise InvalidInput(
                f"the weight of {arm!r} is less than one bucket of {BUCKETS}; give it 0 or a larger share"
            )
    return whole


def allocated(weights: Mapping[str, float], before: Allocation | None = None) -> Allocation:
    """The allocation by `weights`: arms that shrink give buckets to arms that grow; no other bucket changes its arm.

    Args:
        before: the current allocation; an arm without a weight gives away all of its buckets.

    Raises:
        InvalidInput: the weights cannot be used; see `shares`.
    """
    wanted = shares(weights)
    if before is None:
        return _packed(weights, [arm for arm, count in wanted.items() for _ in range(count)])
    table = before.table()
    have = before.counts()
    given = {arm: count - wanted.get(arm, 0) for arm, count in have.items() if count > wanted.get(arm, 0)}
    taking = [arm for arm, count in wanted.items() for _ in range(count - have.get(arm, 0))]
    for bucket in range(BUCKETS - 1, -1, -1):  # from the end, so that an arm keeps its first buckets
        arm = table[bucket]
        if given.get(arm, 0) > 0:
            given[arm] -= 1
            table[bucket] = taking.pop()
    return _packed(weights, table)


def reconciled(stored: Allocation, weights: Mapping[str, float]) -> Allocation:
    """The stored allocation, adapted to the current arms.

    A new arm gets no buckets. The buckets of a removed arm go to the other arms by their stored weights, or by
    `weights` if all of these are 0. Every process gets the same result.

    Args:
        weights: the weights in the code, of all current arms.
    """
    if set(stored.arms) == set(weights):
        return stored
    kept = {arm: stored.weights.get(arm, 0.0) for arm in weights}
    return allocated(kept if any(kept.values()) else weights, stored)


def _packed(weights: Mapping[str, float], table: Sequence[str]) -> Allocation:
    arms = tuple(weights)
    index = {arm: number for number, arm in enumerate(arms)}
    runs: list[int] = []
    last = ""
    for arm in table:
        if runs and arm == last:
            runs[-1] += 1
        else:
            runs += [index[arm], 1]
            last = arm
    return Allocation(dict(weights), arms, tuple(runs))
