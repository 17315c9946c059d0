"""A server and its worker under load, killed at random: no acknowledged job is lost, none is committed twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import apsw
import pytest

from integration.processes import Server, serving

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent
CHAOS = int(os.environ.get("MLPATTERNS_CHAOS", "1"))
KILLS = 2 * CHAOS
DOWN = (urllib.error.URLError, ConnectionError, TimeoutError)
WITNESS = """
CREATE TABLE commits (row INTEGER NOT NULL, response BLOB);
CREATE TRIGGER committed AFTER UPDATE OF response ON bodies WHEN new.response IS NOT NULL BEGIN
    INSERT INTO commits VALUES (new.row, new.response);
END;
"""


class Load:
    """Callers who ask all the time, and again with the same key where they got no answer.

    Attributes:
        acknowledged: the id of each job by the number that was asked.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.acknowledged: dict[int, str] = {}
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(first,)) for first in range(3)]

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._ending.set()
            for thread in self._threads:
                thread.join()

    def _run(self, number: int) -> None:
        while not self._ending.is_set():
            headers = {"idempotency-key": f"key {number}", "content-type": "application/json"}
            try:
                status, answer = self.server.ask("/predict", {"data": [[number, 1]]}, headers)
            except DOWN:
                time.sleep(0.05)
                continue
            if status == 202:
                self.acknowledged[number] = answer["job_id"]
                number += len(self._threads)
            time.sleep(0.005)


@pytest.mark.slow  # it starts processes and kills them
def test_no_acknowledged_job_is_lost_and_none_committed_twice(tmp_path: Path) -> None:
    shutil.copy(HERE / "app_with_jobs.py", tmp_path / "app.py")
    chance, environ = random.Random(), {"MLPATTERNS_LEASE_SECONDS": "1", "MLPATTERNS_HOME": str(tmp_path)}
    with ExitStack() as stack:

        def started(kind: str) -> Server:
            flags, command = (("--programs", "off"), "run") if kind == "server" else ((), "work")
            return stack.enter_context(serving("app.py", *flags, cwd=tmp_path, environ=environ, command=command))

        running = {kind: started(kind) for kind in ("worker", "server")}
        apsw.Connection(str(tmp_path / "jobs.db")).execute(WITNESS)
        load = Load(running["server"])
        with load.running():
            for _ in range(KILLS):
                time.sleep(chance.uniform(0.2, 1.0))
                kind = chance.choice(["worker", "server"])
                running[kind].stop(signal.SIGKILL)
                running[kind] = started(kind)
                load.server = running["server"]
        for number, job in load.acknowledged.items():
            status, answer = running["server"].ask(f"/job/{job}?wait=15")
            assert (status, answer[job]["prediction"]) == (200, [number + 1.0])
    file = apsw.Connection(str(tmp_path / "jobs.db"))
    commits = Counter(row for (row,) in file.execute("SELECT row FROM commits"))
    states = Counter(state for (state,) in file.execute("SELECT state FROM jobs"))
    assert len(load.acknowledged) > 20 * KILLS
    assert set(load.acknowledged.values()) <= {name for (name,) in file.execute("SELECT id FROM jobs")}
    assert max(commits.values()) == 1
    assert len(commits) == states[2] >= len(load.acknowledged)
    assert file.execute("SELECT depth, bytes FROM queues").get == (
        states[0] + states[1],
        file.execute("SELECT total(size) FROM jobs WHERE state < 2").get,
    )
