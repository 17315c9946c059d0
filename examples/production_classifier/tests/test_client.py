"""The client, against a service in a separate process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from client import ask
from conftest import png

from mlpatterns import InvalidInput, MlpatternsError
from mlpatterns.testing import free_port, process

HERE = Path(__file__).parents[1]


def served(work):
    """Starts the service, and returns the result of `work(address)`."""

    async def main():
        async with process("app.py", cwd=HERE, grpc=True) as server:
            return await work(f"grpc://{server.grpc}")

    return asyncio.run(main())


def test_ten_files_in_one_call_are_each_read_right(digits):
    images = [png(image) for _, image in digits]
    assert served(lambda address: ask(address, images)) == [digit for digit, _ in digits]


def test_the_command_prints_a_line_for_each_file():
    async def run(address):
        command = [sys.executable, "client.py", "--at", address, "sample.png", "sample.png"]
        return await asyncio.to_thread(subprocess.run, command, cwd=HERE, text=True, capture_output=True, check=False)

    done = served(run)
    assert (done.returncode, done.stdout, done.stderr) == (0, "sample.png: 4\nsample.png: 4\n", "")


def test_a_broken_file_is_told_in_the_words_of_the_service(digits):
    whole = png(digits[0][1])
    with pytest.raises(InvalidInput, match=r"image 2 of 2 is not a PNG file, or is damaged"):
        served(lambda address: ask(address, [whole, whole[:60]]))


def test_a_service_that_is_not_there_is_one_sentence():
    nowhere = f"grpc://127.0.0.1:{free_port()}"
    with pytest.raises(MlpatternsError):
        asyncio.run(ask(nowhere, [b""]))
    command = [sys.executable, "client.py", "--at", nowhere, "sample.png"]
    done = subprocess.run(command, cwd=HERE, text=True, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("client.py: ")
    assert len(done.stderr.splitlines()) == 1
