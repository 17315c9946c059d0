"""The fuzzer finds what is there to be found; or its silence would mean nothing."""

from __future__ import annotations

from fuzz.fuzzer import fuzz


def reader(data: bytes) -> None:
    """Breaks where three bytes in a row are right, each behind a line of its own."""
    if len(data) < 4 or data[0] != ord("{"):
        return
    if data[1] != 0xFF:
        raise ValueError("refused")
    if data[2] == 0x7F:
        raise KeyError("deep")


def hungry(data: bytes) -> None:
    if data[:1] == b"\0":
        bytearray(50_000_000)


def test_it_finds_an_error_behind_conditions_that_chance_alone_would_not_meet() -> None:
    report = fuzz(reader, [b"{abc"], files=[__file__], cases=20_000, seconds=60, allowed=ValueError, memory=1 << 20)
    assert [find.how for find in report.finds.values()] == ["KeyError at reader:" + find_line() + ": 'deep'"]
    assert report.refused > 0
    assert report.parents > 1


def find_line() -> str:
    return str(reader.__code__.co_firstlineno + 7)


def test_it_finds_what_costs_too_much_memory() -> None:
    report = fuzz(hungry, [b"\0", b"a"], files=[__file__], cases=100, seconds=60, allowed=ValueError, memory=1 << 20)
    assert set(report.finds) == {"memory"}


def test_one_seed_gives_one_search() -> None:
    def search() -> tuple[int, int, int]:
        report = fuzz(reader, [b"{abc"], files=[__file__], cases=2000, seconds=60, allowed=ValueError, memory=1 << 20)
        return report.cases, report.parents, report.refused

    assert search() == search()
