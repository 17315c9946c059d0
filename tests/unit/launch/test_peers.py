"""What the workers of one supervisor know of each other."""

from __future__ import annotations

import os

from mlpatterns.launch.peers import Peers
from mlpatterns.launch.shared_memory import shared_memory


def test_workers_know_of_each_other_and_not_of_themselves() -> None:
    file = shared_memory(3)
    one, other = Peers(file, 3, 0), Peers(file, 3, 1)
    os.close(file)
    one.join()
    assert (one.ready(), other.ready()) == (False, True)
    other.join()
    assert one.ready()
    one.remove(1)
    assert not one.ready()
    one.leave()
    assert not other.ready()


def test_a_worker_alone_has_no_peers() -> None:
    alone = Peers()
    alone.join()
    alone.remove(0)
    assert not alone.ready()
