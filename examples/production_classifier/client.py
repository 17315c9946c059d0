"""Sends images to the service over gRPC and prints their digits: `python client.py IMAGE.png …`.

One call sends all images. The files are not encoded, because over gRPC bytes need no base64.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlpatterns import Context, InferenceRequest, MlpatternsError, RemoteModel, running

__all__ = ["ask", "main"]

ADDRESS = "grpc://127.0.0.1:8001"
SECONDS = 10.0  # for the answer; the server gets this deadline too, and stops working after it


async def ask(address: str, images: Sequence[bytes]) -> list[str]:
    """The digit on each image, from the service at `address`, which is ``grpc://HOST:PORT``.

    Raises:
        MlpatternsError: the service refused, or could not be reached.
    """
    model = RemoteModel(address, "digits")
    async with running(model):
        files = np.array(images, dtype=object).reshape(-1, 1)
        deadline = time.monotonic() + SECONDS
        asked = InferenceRequest({"image": files}, Context("client"), outputs=("probabilities",), deadline=deadline)
        answer = await model.predict(asked)
        return [model.metadata.labels[best] for best in answer.outputs["probabilities"].argmax(axis=1)]


def main() -> int:
    """Prints a line for each file; returns the exit code, which is 1 if there is no answer."""
    parser = argparse.ArgumentParser(description="Ask the service which digits are on images.")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE.png")
    parser.add_argument("--at", default=ADDRESS, help=f"where the service is (default: {ADDRESS})")
    given = parser.parse_args()
    try:
        digits = asyncio.run(ask(given.at, [path.read_bytes() for path in given.images]))
    except (MlpatternsError, OSError) as error:
        print(f"client.py: {error}", file=sys.stderr)
        return 1
    for path, digit in zip(given.images, digits, strict=True):
        print(f"{path}: {digit}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
