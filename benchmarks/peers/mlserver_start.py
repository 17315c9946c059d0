"""`python -m benchmarks.peers.mlserver_start CLASS WORKERS GRPC_PORT PORT`: MLServer with one model, set to be fast.

`debug` is off, and with it the access logs of both servers. `parallel_workers` is the size of its inference pool, 0 to
predict in the server itself. Compression of answers is off: nobody asks for it here. Metrics stay on, as ours do.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from benchmarks.peers.session import MODEL


def main(kind: str, workers: str, grpc_port: str, port: str) -> None:
    """Writes the two settings files that MLServer reads, and becomes MLServer."""
    folder = Path(f"mlserver-{port}").resolve()
    folder.mkdir()
    settings = {
        "debug": False,
        "parallel_workers": int(workers),
        "gzip_enabled": False,
        "host": "127.0.0.1",
        "http_port": int(port),
        "grpc_port": int(grpc_port),
        "metrics_port": free_port(),
        "metrics_dir": str(folder / "metrics"),
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {"name": Path(os.environ[MODEL]).stem, "implementation": f"benchmarks.peers.mlserver_models.{kind}"}
    (folder / "model-settings.json").write_text(json.dumps(model))
    os.execv(Path(sys.executable).with_name("mlserver"), ["mlserver", "start", str(folder)])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


if __name__ == "__main__":
    main(*sys.argv[1:])
