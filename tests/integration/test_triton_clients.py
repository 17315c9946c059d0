"""What speaks the Open Inference Protocol elsewhere speaks with ours: Triton's four clients, and its own messages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.processes import Server, free_port, serving

pytestmark = pytest.mark.integration
CLIENTS = Path(__file__).parent / "clients"

MESSAGES = """
from google.protobuf import descriptor_pool
from mlpatterns.oip import grpc_messages as ours  # before and beside the other's, in one process
from tritonclient.grpc import service_pb2 as theirs

def check(our, their):
    '''All that ours has, theirs has too; of a model's configuration theirs has more.'''
    assert {field.name for field in our.fields} - {"rest"} <= set(their.fields_by_name), our.full_name
    for field in our.fields:
        if field.name != "rest":
            same = their.fields_by_name[field.name]
            assert (field.number, field.type, field.is_repeated) == (same.number, same.type, same.is_repeated)
            if field.message_type:
                check(field.message_type, same.message_type)
            if field.enum_type:
                assert [(each.name, each.number) for each in field.enum_type.values] == [
                    (each.name, each.number) for each in same.enum_type.values]

for name in ours.MESSAGES:
    if name.endswith(("Request", "Response", "Parameter")):
        check(getattr(ours, name).DESCRIPTOR, getattr(theirs, name).DESCRIPTOR)
        print(name)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, int]]:
    folder, port = tmp_path_factory.mktemp("triton"), free_port()
    shutil.copy(CLIENTS / "types_app.py", folder / "app.py")
    environ = {"MLPATTERNS_ADMIN_TOKEN": "t0ken"}
    with serving("app.py", "--grpc-port", str(port), cwd=folder, environ=environ) as server:
        yield server, port


def run(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["grpc", "grpc.aio", "http", "http.aio"])
def test_tritons_client_asks_in_every_datatype(kind: str, served: tuple[Server, int]) -> None:
    server, port = served
    run(str(CLIENTS / "triton.py"), kind, str(server.port), str(port))


def test_our_messages_have_the_fields_of_tritons_and_live_beside_them_in_one_process() -> None:
    assert len(run("-c", MESSAGES).splitlines()) == 24
