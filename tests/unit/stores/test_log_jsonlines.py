"""The log of JSON lines: whole lines whatever happens, and files that are rotated."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.logs import record
from mlpatterns.errors import Unavailable
from mlpatterns.stores import log_jsonlines, open_store
from mlpatterns.stores.log import LogSink, LogStore, Record
from mlpatterns.stores.log_codec import decode_record
from mlpatterns.stores.log_jsonlines import JsonLines
from mlpatterns.user_errors import SettingsError


def run(url: str, work: Callable[[JsonLines], Awaitable[None]]) -> None:
    async def main() -> None:
        sink = await JsonLines.open(url)
        try:
            await work(sink)
        finally:
            await sink.close()

    asyncio.run(main())


def read(path: Path) -> list[Record]:
    return [decode_record(line) for line in path.read_bytes().split(b"\n")[:-1]]


def numbers(path: Path) -> list[int]:
    return [int(each.at) for each in read(path)]


def test_a_full_file_is_rotated_and_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"

    async def work(sink: JsonLines) -> None:
        for number in range(10):
            await sink.write([record(number)])

    run(f"{path.as_uri()}?rotate_bytes=150&keep=2", work)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log.jsonl", "log.jsonl.1", "log.jsonl.2"]
    assert [numbers(file) for file in files] == [[8, 9], [6, 7], [4, 5]]


def test_two_that_write_to_one_file_rotate_it_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    url = f"{path.as_uri()}?rotate_bytes=2KiB&keep=50"

    async def main() -> None:
        sinks = [await JsonLines.open(url) for _ in range(3)]
        for number in range(60):
            await asyncio.gather(*(sink.write([record(10 * number + n)]) for n, sink in enumerate(sinks)))
        for sink in sinks:
            await sink.close()

    asyncio.run(main())
    files = list(tmp_path.iterdir())
    found = [number for file in files for number in numbers(file)]
    assert sorted(found) == sorted(10 * number + n for number in range(60) for n in range(3))
    assert all(file.stat().st_size <= 2048 + 200 for file in files)
    assert len(files) > 3


def test_half_a_line_of_one_that_was_killed_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    run(path.as_uri(), lambda sink: sink.write([record(1)]))
    with path.open("ab") as file:
        file.write(b'{"prediction_id": "half' + b"x" * 70_000)
    run(path.as_uri(), lambda sink: sink.write([record(2)]))
    assert numbers(path) == [1, 2]


def test_a_disk_that_gets_full_leaves_all_lines_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, really = tmp_path / "log.jsonl", os.write
    room = 150

    def write(file: int, data: Any) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = really(file, data[:room])
        room -= done
        return done

    async def work(sink: JsonLines) -> None:
        nonlocal room
        await sink.write([record(1)])
        with pytest.raises(Unavailable, match=r"the log file log\.jsonl cannot be written: No space left"):
            await sink.write([record(2), record(3)])
        assert numbers(path) == [1]
        room = 10_000
        await sink.write([record(2), record(3)])

    monkeypatch.setattr("mlpatterns.stores.log_jsonlines.os.write", write)
    run(path.as_uri(), work)
    assert numbers(path) == [1, 2, 3]


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"

    async def work(sink: JsonLines) -> None:
        await sink.write([record(1)])
        path.rename(tmp_path / "moved")
        await sink.write([record(2)])
        path.unlink()
        await sink.write([record(3)])

    run(path.as_uri(), work)
    assert (numbers(tmp_path / "moved"), numbers(path)) == ([1], [3])


def test_a_lock_that_another_keeps_is_an_error_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_jsonlines, "LOCK_SECONDS", 0.01)
    path = tmp_path / "log.jsonl"
    path.touch()

    async def work(sink: JsonLines) -> None:
        with path.open() as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(Unavailable):
                await sink.write([record(1)])
        await sink.write([record(2)])

    run(path.as_uri(), work)
    assert numbers(path) == [2]


def test_a_folder_that_cannot_be_made_fails_the_write_and_not_the_opening(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    async def work(sink: JsonLines) -> None:
        with pytest.raises(Unavailable, match="cannot be written"):
            await sink.write([record(1)])

    run((tmp_path / "file" / "log.jsonl").as_uri(), work)


@pytest.mark.parametrize(
    "url",
    ["file://log.jsonl", "file:log.jsonl", "file:///folder/", "file:///x?keep=0", "file:///x?rotate_bytes=1e6",
     "file:///x?what=1", "stdout://x", "stdout://?keep=1"],
)  # fmt: skip
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        asyncio.run(open_store(LogSink, url))  # type: ignore[type-abstract]


@pytest.mark.parametrize("url", ["file:///tmp/log.jsonl", "stdout://"])
def test_what_is_only_written_to_is_no_store(url: str) -> None:
    with pytest.raises(SettingsError, match=r"there is no LogStore for \w+://; use memory://, sqlite://"):
        asyncio.run(open_store(LogStore, url))  # type: ignore[type-abstract]
