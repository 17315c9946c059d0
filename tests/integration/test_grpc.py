"""gRPC as an operator meets it: ports, workers, signals, clients that die, messages too large, keys, certificates."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from certificates import self_signed
from integration.processes import PATIENCE, Server, free_port, serving, until_counted
from mlpatterns.oip import grpc_messages as messages
from mlpatterns.server.grpc.streams import HEALTH_SERVICE

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent
Status = grpc.StatusCode
UNLIMITED = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
OWN = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own for each channel

WHO = """
import os
import numpy as np
from mlpatterns import PythonModel, TensorSpec, serve

app = serve(lambda: PythonModel(
    lambda: None, lambda _, inputs: {"pid": np.full(len(inputs["input"]), os.getpid(), np.int64)}, name="who",
    inputs=[TensorSpec("input", "FP32", (-1, 2))], outputs=[TensorSpec("pid", "INT64", (-1,))]))
"""


def asked(seconds: float = 0, *, model: str = "sleeper", rows: int = 1) -> bytes:
    """A ModelInferRequest whose answer takes that long."""
    message = messages.ModelInferRequest(model_name=model)
    message.inputs.add(name="input", datatype="FP32", shape=[rows, 2])
    message.raw_input_contents.append(np.tile(np.array([seconds, 0], "<f4"), (rows, 1)).tobytes())
    body: bytes = message.SerializeToString()
    return body


def call(channel: Any, body: bytes, path: str = f"{messages.SERVICE}/ModelInfer", **options: Any) -> bytes:
    answer: bytes = channel.unary_unary(f"/{path}")(body, timeout=options.pop("timeout", 20), **options)
    return answer


def refused(channel: Any, body: bytes, **options: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, body, **options)
    return caught.value.code(), caught.value.details()


def status_of_health(channel: Any) -> int:
    answer = call(channel, b"", f"{HEALTH_SERVICE}/Check")
    return int(HealthCheckResponse.FromString(answer).status)


@contextmanager
def sleeper(tmp_path: Path, *flags: str, environ: dict[str, str] | None = None) -> Iterator[tuple[Server, Any]]:
    """A server of the slow model, and a channel to its gRPC port."""
    shutil.copy(HERE / "app_for_tests.py", tmp_path / "app.py")
    port = free_port()
    with (
        serving("app.py", "--grpc-port", str(port), *flags, cwd=tmp_path, environ=environ) as server,
        grpc.insecure_channel(f"127.0.0.1:{port}", options=[*UNLIMITED, *OWN]) as channel,
    ):
        grpc.channel_ready_future(channel).result(timeout=PATIENCE)
        yield server, channel


def in_background(channel: Any, seconds: float) -> tuple[threading.Thread, list[Any]]:
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(call(channel, asked(seconds))))
    thread.start()
    time.sleep(0.3)  # until it is in flight
    return thread, answers


# ---- ports and processes -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_several_workers_share_one_port_that_was_free_and_the_first_line_tells_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(WHO)
    with serving("app.py", "--grpc-port", "0", "--workers", "2", cwd=tmp_path) as server:
        time.sleep(1)  # until the second worker listens too
        workers = {child.pid for child in psutil.Process(server.process.pid).children()}
        [port] = listening_ports(workers) - {server.port}
        seen = set()
        for _ in range(100):  # the kernel chooses by the client's port
            with grpc.insecure_channel(f"127.0.0.1:{port}", options=OWN) as channel:
                answer = messages.ModelInferResponse.FromString(call(channel, asked(model="who")))
                seen.add(int(np.frombuffer(answer.raw_output_contents[0], "<i8")[0]))
            if seen == workers:
                break
        assert seen == workers
        assert 'ModelInfer",status="OK"}' in server.ask("/metrics")[1]
        server.stop()
        [told] = re.findall(r"is on http://127.0.0.1:\d+ and grpc://127.0.0.1:(\d+), with 2 workers", server.output)
        assert int(told) == port


def listening_ports(processes: set[int]) -> set[int]:
    found = set()
    for pid in processes:
        for connection in psutil.Process(pid).net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                found.add(connection.laddr.port)
    return found


def run_to_its_end(tmp_path: Path, *flags: str, **environ: str) -> tuple[int, str]:
    shutil.copy(HERE / "app_for_tests.py", tmp_path / "app.py")
    command = [sys.executable, "-m", "mlpatterns", "run", "app.py", "--port", "0", *flags]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **environ}, text=True, capture_output=True, timeout=60, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_taken_port_is_one_sentence_even_if_its_owner_would_share_it(tmp_path: Path, workers: str) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, text = run_to_its_end(tmp_path, "--grpc-port", str(port), "--workers", workers)
    assert code == 1
    assert text.splitlines()[-1].startswith(f"mlpatterns: port {port} is taken; stop the program that listens there")
    assert text.splitlines()[-1].endswith("or choose another port with --grpc-port")


def test_without_the_extra_it_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "hidden" / "grpc").mkdir(parents=True)
    (tmp_path / "hidden" / "grpc" / "__init__.py").write_text("raise ImportError('it is not here')")
    code, text = run_to_its_end(tmp_path, "--grpc-port", "0", PYTHONPATH=str(tmp_path / "hidden"))
    assert code == 1
    assert text.splitlines()[-1] == "mlpatterns: --grpc-port needs an extra: pip install 'mlpatterns[grpc]'"


def test_without_the_flag_nothing_of_grpc_is_imported(tmp_path: Path) -> None:
    shutil.copy(HERE / "app_for_tests.py", tmp_path / "app.py")
    with serving("app.py", cwd=tmp_path) as server:
        files = {Path(entry.path).name for entry in psutil.Process(server.process.pid).memory_maps()}
    assert any("onnx" in name or "numpy" in name or "multiarray" in name for name in files), "it shows what is loaded"
    assert not any("cygrpc" in name or "_upb" in name for name in files)


# ---- the end -----------------------------------------------------------------------------------------------------


def test_sigterm_answers_what_is_in_flight_and_exits_with_0(tmp_path: Path) -> None:
    with sleeper(tmp_path) as (server, channel):
        thread, answers = in_background(channel, 1.0)
        assert server.stop() == 0
        thread.join()
        assert len(messages.ModelInferResponse.FromString(answers[0]).raw_output_contents) == 1


@pytest.mark.slow
def test_no_call_fails_while_clients_that_look_at_health_are_drained(tmp_path: Path) -> None:
    """Each client stops when health says so; until then, and for all calls in flight, every answer must be whole."""
    with sleeper(tmp_path, "--drain-delay", "2") as (server, channel):
        answered, failed, drained = [0] * 8, [], threading.Event()

        def load(number: int) -> None:
            try:
                while not drained.is_set():
                    call(channel, asked(0.01))
                    answered[number] += 1
            except grpc.RpcError as error:
                failed.append(error)

        threads = [threading.Thread(target=load, args=(number,)) for number in range(len(answered))]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        while status_of_health(channel) == 1:
            time.sleep(0.05)
        live = call(channel, b"", f"{messages.SERVICE}/ServerReady")
        assert not messages.ServerReadyResponse.FromString(live).ready
        before = sum(answered)
        time.sleep(0.3)
        assert sum(answered) > before, "it serves while it drains"
        drained.set()
        for thread in threads:
            thread.join()
        assert failed == []
        assert server.process.wait(PATIENCE) == 0


def test_a_watcher_does_not_keep_the_server_from_its_end(tmp_path: Path) -> None:
    with sleeper(tmp_path, "--request-timeout", "3600") as (server, channel):  # its grace is longer still
        watch = channel.unary_stream(f"/{HEALTH_SERVICE}/Watch")(b"")
        assert HealthCheckResponse.FromString(next(watch)).status == 1
        assert server.stop() == 0


# ---- clients that leave, and what they send ----------------------------------------------------------------------

DYING = """
import sys, grpc
channel = grpc.insecure_channel(sys.argv[1])
print("calling", flush=True)
channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(bytes.fromhex(sys.argv[2]))
"""


def test_a_client_killed_in_the_middle_of_its_call_leaves_no_trace(tmp_path: Path) -> None:
    with sleeper(tmp_path) as (server, channel):
        [port] = listening_ports({server.process.pid}) - {server.port}
        command = [sys.executable, "-c", DYING, f"127.0.0.1:{port}", asked(1.5).hex()]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            assert client.stdout is not None
            client.stdout.readline()
            until_counted(server, 'mlpatterns_limit_in_flight{piece="server:sleeper"} 1.0')
            client.kill()
        until_counted(server, 'ModelInfer",status="CANCELLED"} 1.0')
        until_counted(server, 'mlpatterns_limit_in_flight{piece="server:sleeper"} 0.0')
        assert call(channel, asked())


@pytest.mark.parametrize("whose", ["client", "server"])
def test_a_deadline_is_told_before_stubborn_work_ends(tmp_path: Path, whose: str) -> None:
    with sleeper(tmp_path, *(("--request-timeout", "0.3") if whose == "server" else ())) as (server, channel):
        code, _ = refused(channel, asked(-1), timeout=0.3 if whose == "client" else 20)
        assert code is Status.DEADLINE_EXCEEDED
        assert 'mlpatterns_limit_in_flight{piece="server:sleeper"} 1.0' in server.ask("/metrics")[1], "a slot is held"
        (tmp_path / "go").touch()
        until_counted(server, 'mlpatterns_limit_in_flight{piece="server:sleeper"} 0.0')


def test_a_message_too_large_is_refused_and_one_of_more_than_4_megabytes_is_not(tmp_path: Path) -> None:
    with sleeper(tmp_path, "--max-body-bytes", "6000000") as (_, channel):
        code, text = refused(channel, asked(rows=1_000_000))
        assert code is Status.RESOURCE_EXHAUSTED
        assert "larger than max" in text
        assert len(call(channel, asked(rows=700_000))) > 700_000 * 8


@pytest.mark.slow
def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    with sleeper(tmp_path, "--max-body-bytes", "2000000") as (server, channel):
        memory = psutil.Process(server.process.pid).memory_info
        before, most, done = memory().rss, 0, threading.Event()

        def watch() -> None:
            nonlocal most
            while not done.wait(0.002):
                most = max(most, memory().rss)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            code, _ = refused(channel, asked(rows=20_000_000), compression=grpc.Compression.Gzip)  # 160 MB of nothing
        finally:
            done.set()
            thread.join()
        assert code is Status.RESOURCE_EXHAUSTED
        assert most - before < 80_000_000
        assert call(channel, asked(rows=1000), compression=grpc.Compression.Gzip)


def test_keys_are_asked_for_in_metadata_and_headers_too_large_are_refused(tmp_path: Path) -> None:
    environ = {"MLPATTERNS_API_KEYS": "ann=secret", "MLPATTERNS_MAX_HEADER_BYTES": "16000"}
    with sleeper(tmp_path, environ=environ) as (_, channel):
        assert refused(channel, asked())[0] is Status.UNAUTHENTICATED
        assert call(channel, asked(), metadata=(("x-api-key", "secret"),))
        large = (("x-api-key", "secret"), ("x-large", "x" * 30_000))
        assert refused(channel, asked(), metadata=large)[0] is Status.RESOURCE_EXHAUSTED
        assert status_of_health(channel) == 1


def test_a_certificate_serves_both_faces(tmp_path: Path) -> None:
    shutil.copy(HERE / "app_for_tests.py", tmp_path / "app.py")
    certificate, _ = self_signed(tmp_path)
    port = free_port()
    command = [sys.executable, "-m", "mlpatterns", "run", "app.py", "--port", "0", "--grpc-port", str(port),
               "--tls-certificate", "certificate.pem", "--tls-key", "key.pem"]  # fmt: skip
    trusted = grpc.ssl_channel_credentials(certificate.read_bytes())
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        server = Server(process, port)
        try:
            with grpc.secure_channel(f"127.0.0.1:{port}", trusted) as channel:
                grpc.channel_ready_future(channel).result(timeout=PATIENCE)
                assert call(channel, asked())
        finally:
            process.terminate()
            _, told = process.communicate(timeout=PATIENCE)
        assert server.process.returncode == 0
        assert f"grpcs://127.0.0.1:{port}" in told
        assert "https://127.0.0.1:" in told
