"""Load tests: an open-loop generator of requests for HTTP servers, and reports of its results."""

from __future__ import annotations

from mlpatterns.load.attack import attack
from mlpatterns.load.limit import ServerLimits, find_limit
from mlpatterns.load.report import Report
from mlpatterns.load.served import LoadedServer, loaded
from mlpatterns.load.target import Target

__all__ = ["LoadedServer", "Report", "ServerLimits", "Target", "attack", "find_limit", "loaded"]
