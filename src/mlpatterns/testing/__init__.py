"""Tools for tests: a fake clock, models that count, fail or are slow, an HTTP client, real processes, load.

async with client(Pipeline(preprocessing, CountingModel())) as http:
    response = await http.post("/predict", json={"data": [[5.1, 3.5, 1.4, 0.2]]})
async with process("web_single") as server:
    response = await server.http.post("/predict", json={"data": [[5.1, 3.5, 1.4, 0.2]]})
    report = await attack(f"{server.url}/predict/test", rate=100, seconds=10)
"""

from __future__ import annotations

from mlpatterns.load import Report, Target, attack, find_limit, loaded
from mlpatterns.metadata import Array
from mlpatterns.server_process import ServerProcess, free_port, process
from mlpatterns.testing.asked_keys import AskedKeys, CacheTrial, ask_keys, cache_trial
from mlpatterns.testing.batch_watch import batch_items, batch_run
from mlpatterns.testing.client import client, job_ended, until, until_ready
from mlpatterns.testing.clock import FakeClock
from mlpatterns.testing.digit_images import digit_images
from mlpatterns.testing.doubles import CountingModel, FlakyModel, SlowModel, request
from mlpatterns.testing.edge_trial import answers_in_node, answers_in_python, download, labels_of_pictures
from mlpatterns.testing.image_trial import BuildContext, build_context, build_image, engine_with
from mlpatterns.testing.kill_trial import killed_under_load
from mlpatterns.testing.logged import logged
from mlpatterns.testing.watched import Hook, heard, heard_of, iris_rows, watched

__all__ = [
    "Array", "AskedKeys", "BuildContext", "CacheTrial", "CountingModel", "FakeClock", "FlakyModel", "Hook", "Report",
    "ServerProcess", "SlowModel", "Target", "answers_in_node", "answers_in_python", "ask_keys", "attack",
    "batch_items", "batch_run", "build_context", "build_image", "cache_trial", "client", "digit_images", "download",
    "engine_with", "find_limit", "free_port", "heard", "heard_of", "iris_rows", "job_ended", "killed_under_load",
    "labels_of_pictures", "loaded", "logged", "process", "request", "until", "until_ready", "watched",
]  # fmt: skip
