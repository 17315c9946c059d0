"""A bounded number of packets in one turn of the loop; new connections first; nothing lost, reordered or unbounded."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.server.read_queue import PACKETS_A_TURN, ReadQueue
from unit.server.test_http_requests import Spoken, post

MANY = 5 * PACKETS_A_TURN


class Recorder:
    """A connection that records what it reads; `log` is shared by all."""

    def __init__(self, name: str, log: list[tuple[str, bytes]], *, is_new: bool = False) -> None:
        self.name, self.log, self.is_new = name, log, is_new
        self.waiting, self.held = 0, False
        self.fails_at: bytes | None = None

    def read(self, packet: bytes) -> None:
        if packet == self.fails_at:
            raise LookupError("broken")
        self.log.append((self.name, packet))

    def hold_back(self, held: bool) -> None:
        self.held = held


def test_one_turn_reads_a_bounded_number_of_packets_and_all_are_read_in_order() -> None:
    log: list[tuple[str, bytes]] = []

    async def main() -> list[int]:
        queue = ReadQueue(asyncio.get_running_loop())
        busy = [Recorder(str(number), log) for number in range(MANY)]
        for reader in busy:
            queue.take(reader, b"x")
        read = [0, len(log)]
        while read[-1] < MANY:
            await asyncio.sleep(0)
            read.append(len(log))
        return [after - before for before, after in pairwise(read)]

    assert max(asyncio.run(main())) == PACKETS_A_TURN
    assert [name for name, _ in log] == [str(number) for number in range(MANY)]


def test_a_new_connection_is_read_before_busy_ones_that_wait() -> None:
    log: list[tuple[str, bytes]] = []

    async def main() -> None:
        queue = ReadQueue(asyncio.get_running_loop())
        for number in range(MANY):
            queue.take(Recorder(str(number), log), b"x")
        queue.take(Recorder("new", log, is_new=True), b"x")

    asyncio.run(main())
    assert log[PACKETS_A_TURN] == ("new", b"x")


def test_who_sends_on_while_its_packets_wait_is_held_back_until_they_are_read() -> None:
    log: list[tuple[str, bytes]] = []

    async def main() -> list[bool]:
        queue = ReadQueue(asyncio.get_running_loop())
        for number in range(PACKETS_A_TURN):
            queue.take(Recorder(str(number), log), b"x")
        fast, held = Recorder("fast", log), []
        for packet in (b"1", b"2"):
            queue.take(fast, packet)
            held.append(fast.held)
        await asyncio.sleep(0)
        return [*held, fast.held]

    assert asyncio.run(main()) == [False, True, False]
    assert log[-2:] == [("fast", b"1"), ("fast", b"2")]


def test_a_packet_that_fails_does_not_stop_the_others() -> None:
    log: list[tuple[str, bytes]] = []
    failures: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
        queue = ReadQueue(loop)
        busy = [Recorder(str(number), log) for number in range(MANY)]
        busy[PACKETS_A_TURN].fails_at = b"x"
        for reader in busy:
            queue.take(reader, b"x")
        for _ in range(20):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert len(log) == MANY - 1
    assert [type(failure) for failure in failures] == [LookupError]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=200))
def test_packets_of_a_connection_are_never_reordered(sent: list[tuple[int, int]]) -> None:
    log: list[tuple[str, bytes]] = []

    async def main() -> None:
        queue = ReadQueue(asyncio.get_running_loop())
        readers = [Recorder(str(number), log, is_new=number == 0) for number in range(6)]
        for at, (number, rounds) in enumerate(sent):
            queue.take(readers[number], b"%d" % at)
            for _ in range(rounds):
                await asyncio.sleep(0)
        while any(reader.waiting for reader in readers):
            await asyncio.sleep(0)
        assert not any(reader.held for reader in readers)

    asyncio.run(main())
    for name in "012345":
        numbers = [int(packet) for reader, packet in log if reader == name]
        assert numbers == [at for at, (number, _) in enumerate(sent) if str(number) == name]


def test_each_of_many_connections_has_its_answers_and_a_server_that_stops_answers_what_has_come() -> None:
    async def main() -> None:
        spoken = [Spoken() for _ in range(3 * PACKETS_A_TURN)]
        for number in range(2):
            for one in spoken:
                one.protocol.data_received(post("whole", b"%d" % number))
            if number:
                assert any(one.protocol.waiting for one in spoken)
                for one in spoken:
                    one.protocol.shutdown()
            await spoken[0].quiet()
        for one in spoken:
            assert one.bodies() == [b"0", b"1"]
            assert one.transport.closed

    asyncio.run(main())


def test_what_waits_of_a_client_that_has_left_is_dropped() -> None:
    async def main() -> None:
        spoken = [Spoken() for _ in range(2 * PACKETS_A_TURN)]
        for packet in (post("whole", b"x"), post("whole", b"y")):
            await spoken[0].quiet()
            for one in spoken:
                one.protocol.data_received(packet)
        last = spoken[-1]
        assert last.protocol.waiting
        assert last.protocol.eof_received()  # it may only have ended its own direction
        last.transport.close()
        last.protocol.connection_lost(None)
        await last.quiet()
        assert last.bodies() == [b"x"]
        assert spoken[-2].bodies() == [b"x", b"y"]

    asyncio.run(main())
