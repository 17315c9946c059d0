"""Runs predictors. `running` starts and stops them, and gives each its runtime: threads, tasks, stores, documents.

async with running(root):
    response = await root.predict(request)
"""

from mlpatterns.runtime.app import AppRuntime
from mlpatterns.runtime.lifecycle import SystemClock, running
from mlpatterns.runtime.tasks import until_idle
from mlpatterns.runtime.threads import finished, settled
from mlpatterns.runtime.tree import Built, Roots, leaves_first, roots_of, start_order

__all__ = [
    "AppRuntime",
    "Built",
    "Roots",
    "SystemClock",
    "finished",
    "leaves_first",
    "roots_of",
    "running",
    "settled",
    "start_order",
    "until_idle",
]
