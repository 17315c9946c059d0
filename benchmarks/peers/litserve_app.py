"""`python -m benchmarks.peers.litserve_app CLASS QUEUE BATCH WORKERS PORT`: LitServe, as its guide writes a service.

QUEUE is `plain`, or `fast` for ZeroMQ, which its guide has for more than 100 requests a second. BATCH is the most
requests of a batch, 1 for none. An HTTP process for each inference worker, which its guide recommends.
"""

# No `from __future__ import annotations`: LitServe reads the type of `decode_request`'s argument, not its name.

import base64
import sys
from typing import Any

import litserve
import numpy as np
from fastapi import Request, Response

from benchmarks.peers.session import open_model


class Rows(litserve.LitAPI):  # type: ignore[misc]  # LitServe lives in an environment of its own
    """`{"data": [[…]]}` in, `{"prediction": […]}` out."""

    def setup(self, device: str) -> None:
        self.run = open_model()

    def decode_request(self, request: Request) -> Any:
        return np.asarray(request["data"], dtype=np.float32)  # by then it is what the JSON held

    def predict(self, rows: Any) -> Any:
        return self.run(rows)

    def encode_response(self, output: Any) -> Any:
        return {"prediction": output[0].tolist()}


class BatchedRows(Rows):
    """One row a request, many in a call of the model."""

    def batch(self, inputs: Any) -> Any:
        return np.concatenate(inputs)

    def unbatch(self, output: Any) -> Any:
        return output[:, None]


class Images(Rows):
    """One image as the bytes of its pixels, in base64, in JSON."""

    def decode_request(self, request: Request) -> Any:
        return np.frombuffer(base64.b64decode(request["image"]), "<f4").reshape(1, 3, 224, 224)

    def encode_response(self, output: Any) -> Any:
        return {"image": base64.b64encode(output.tobytes()).decode()}


class Uploads(Images):
    """One image as a file of a form, raw in both directions."""

    def decode_request(self, request: Request) -> Any:
        return np.frombuffer(request["image"].file.read(), "<f4").reshape(1, 3, 224, 224)

    def encode_response(self, output: Any) -> Any:
        return Response(output.tobytes(), media_type="application/octet-stream")


def main(kind: str, queue: str, batch: str, workers: str, port: str) -> None:
    """Serves until it is ended."""
    api = globals()[kind](api_path="/predict", max_batch_size=int(batch), batch_timeout=0.001 if int(batch) > 1 else 0)
    server = litserve.LitServer(
        api, accelerator="cpu", devices=1, workers_per_device=int(workers), fast_queue=queue == "fast"
    )
    server.run(
        host="127.0.0.1", port=int(port), num_api_servers=int(workers), log_level="warning", access_log=False,
        generate_client_file=False,
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
