"""Runs tests that measure time without other tests in parallel: they form one group, which the scheduler of
pytest-xdist starts when all other tests have ended."""

from __future__ import annotations

from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

__all__ = ["ALONE", "AloneAtTheEnd"]

ALONE = "alone"  # the name of the group


class AloneAtTheEnd(LoadGroupScheduling):
    """Assigns the group ALONE, the last in the queue, to the last process when all other processes have ended."""

    def _reschedule(self, node: WorkerController) -> None:
        if list(self.workqueue) == [ALONE]:
            others = [each for each in self.nodes if each is not node]
            if any(not each.shutting_down for each in others):
                node.shutdown()  # after the tests that it still has
            if others:
                return
        super()._reschedule(node)

    def remove_node(self, node: WorkerController) -> str | None:
        unfinished: str | None = super().remove_node(node)
        for each in self.nodes:
            self._reschedule(each)
        return unfinished
