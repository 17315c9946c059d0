"""Memory that processes share, with and without a kernel that gives it."""

from __future__ import annotations

import mmap
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlpatterns.launch.shared_memory import shared_memory


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes: a disk that is full there. Python ignores SIGXFSZ."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def without_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError("not implemented")

    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)


def test_it_is_zeros_that_two_mappings_share() -> None:
    file = shared_memory(10_000)
    one, other = mmap.mmap(file, 10_000), mmap.mmap(file, 10_000)
    os.close(file)
    assert one[:] == bytes(10_000)
    one[9_999] = 7
    assert other[9_999] == 7


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has sealed memory")
def test_nothing_can_shorten_it_under_those_who_map_it() -> None:
    file = shared_memory(10_000)
    with pytest.raises(PermissionError):
        os.ftruncate(file, 0)
    os.close(file)


def test_without_such_memory_it_is_a_file_that_is_written_whole_and_has_no_name(
    without_memfd: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = shared_memory(3_000_000)
    status = os.fstat(file)
    assert (status.st_size, list(tmp_path.iterdir())) == (3_000_000, [])
    assert status.st_blocks * 512 >= 3_000_000
    assert mmap.mmap(file, 3_000_000)[:] == bytes(3_000_000)
    os.close(file)


@pytest.mark.parametrize("room", [0, 1_500_000])
def test_without_room_for_the_file_it_is_refused_before_anyone_maps_it(
    without_memfd: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with largest_file(room), pytest.raises(OSError, match=r"too large|no room"):
        shared_memory(3_000_000)
