"""`python -m benchmarks.peers.grpc_floor FILE GRPC_PORT PORT`: `grpc.aio` that answers each call with those bytes.

The least that gRPC's own Python server can spend on a call: nothing is parsed, run or encoded.
PORT is for HTTP, which it has not.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import grpc


async def main(file: str, grpc_port: str, port: str) -> None:
    """Serves until it is ended."""
    answer = Path(file).read_bytes()

    async def infer(request: bytes, context: object) -> bytes:
        return answer

    handler = grpc.unary_unary_rpc_method_handler(infer)
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler})
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
