"""An environment for each peer, apart from ours and from each other: `python -m benchmarks.peers.environments`.

They are made once, below `.mlpatterns-peers/`, from `requirements/NAME.txt`; whoever changes that file gets a new one.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

__all__ = ["FOLDER", "PEERS", "ensure", "python_of", "versions"]

PEERS = ("mlserver", "litserve", "bentoml")
REQUIREMENTS = Path(__file__).with_name("requirements")
FOLDER = Path(__file__).resolve().parents[2] / ".mlpatterns-peers"
SHOWN = (
    "mlserver",
    "litserve",
    "bentoml",
    "onnxruntime",
    "numpy",
    "uvicorn",
    "uvloop",
    "httptools",
    "fastapi",
    "grpcio",
)
LIST = "import importlib.metadata as m, json; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
MINUTES = 10


def python_of(peer: str) -> Path | None:
    """The interpreter of a peer's environment, or None if that is not made, or not from today's requirements."""
    home = FOLDER / peer
    return home / "bin" / "python" if _stamp(home) == _wanted(peer) else None


def ensure(peer: str) -> str | None:
    """Makes the peer's environment if it is not there; None, or the sentence that says why it cannot be had."""
    if python_of(peer):
        return None
    home = FOLDER / peer
    print(f"installing {peer} …", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True, capture_output=True)
        install = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*install, "-r", str(_file(peer))], check=True, capture_output=True, text=True, timeout=60 * MINUTES
        )
    except subprocess.TimeoutExpired:
        return f"{peer} could not be installed in {MINUTES} minutes"
    except subprocess.CalledProcessError as error:
        return f"{peer} cannot be installed: {_last(error.stderr)}"
    (home / "made-from").write_text(_wanted(peer))
    return None


def versions(peer: str) -> str:
    """What is installed there, of what matters for speed."""
    found = subprocess.run([str(python_of(peer)), "-c", LIST], check=True, capture_output=True, text=True)
    its: dict[str, str] = json.loads(found.stdout)
    return ", ".join(f"{name} {its[name]}" for name in SHOWN if name in its)


def _file(peer: str) -> Path:
    return REQUIREMENTS / f"{peer}.txt"


def _wanted(peer: str) -> str:
    return hashlib.sha256(_file(peer).read_bytes()).hexdigest()


def _stamp(home: Path) -> str | None:
    stamp = home / "made-from"
    return stamp.read_text() if stamp.exists() else None


def _last(text: str | bytes | None) -> str:
    lines = (text.decode(errors="replace") if isinstance(text, bytes) else text or "").split("\n")
    errors = [line for line in lines if line.startswith("ERROR")] or [line for line in lines if line.strip()]
    return errors[-1] if errors else "pip said nothing"


if __name__ == "__main__":
    failed = [sentence for peer in PEERS if (sentence := ensure(peer))]
    for sentence in failed:
        print(sentence, file=sys.stderr)
    sys.exit(bool(failed))
