"""How tests that measure time run beside no other: as one group, for which the scheduler of pytest-xdist waits until
one process is left."""

from __future__ import annotations

from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

__all__ = ["ALONE", "AloneAtTheEnd"]

ALONE = "alone"  # the group


class AloneAtTheEnd(LoadGroupScheduling):
    """Hands the group ALONE, the last in the queue, to the last process, when all others have ended."""

    def _reschedule(self, node: WorkerController) -> None:
        if list(self.workqueue) == [ALONE]:
            others = [each for each in self.nodes if each is not node]
            if any(not each.shutting_down for each in others):
                node.shutdown()  # after what it still has
            if others:
                return
        super()._reschedule(node)

    def remove_node(self, node: WorkerController) -> str | None:
        unfinished: str | None = super().remove_node(node)
        for each in self.nodes:
            self._reschedule(each)
        return unfinished
