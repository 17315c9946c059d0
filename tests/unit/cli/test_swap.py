"""swap: what it sends, where, and what it refuses before it asks."""

from __future__ import annotations

import http.server
import json
from collections.abc import Iterator

import pytest

from unit.cli.conftest import Command, answering


class Server(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        asked = [self.command, self.path, body, self.headers.get("authorization"), self.headers.get("x-api-key")]
        answer = json.dumps(asked).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        """A test prints nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with answering(Server) as address:
        yield address


@pytest.mark.parametrize(
    ("flags", "asked"),
    [
        ([], ["GET", "/swap", "", None, None]),
        (["--api-key", "k"], ["GET", "/swap", "", None, "k"]),
        (["--to", "3"], ["POST", "/swap", '{"version":3}', "Bearer s3cret", None]),
        (["--to", "3", "--force"], ["POST", "/swap", '{"version":3,"force":true}', "Bearer s3cret", None]),
        (["--rollback"], ["POST", "/swap/rollback", "", "Bearer s3cret", None]),
        (["--follow", "--piece", "shop/a"], ["POST", "/pieces/shop/a/swap/follow", "", "Bearer s3cret", None]),
    ],
)
def test_each_flag_is_one_request(
    mlpatterns: Command, server: str, monkeypatch: pytest.MonkeyPatch, flags: list[str], asked: list[str | None]
) -> None:
    monkeypatch.setenv("MLPATTERNS_ADMIN_TOKEN", "s3cret")
    done = mlpatterns("swap", server, *flags)
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == asked


def test_a_change_without_the_token_is_not_sent(mlpatterns: Command) -> None:
    done = mlpatterns("swap", "127.0.0.1:1", "--rollback")
    assert done.code == 2
    assert done.err == "mlpatterns: a change needs the server's admin token: set MLPATTERNS_ADMIN_TOKEN\n"


def test_two_changes_at_once_are_refused(mlpatterns: Command) -> None:
    done = mlpatterns("swap", "127.0.0.1:1", "--rollback", "--to", "1")
    assert (done.code, "give one of them" in done.err) == (2, True)


def test_force_alone_says_what_it_goes_with(mlpatterns: Command) -> None:
    done = mlpatterns("swap", "127.0.0.1:1", "--force")
    assert (done.code, "--force needs --to NUMBER" in done.err) == (2, True)


def test_a_server_without_a_hot_swap_is_told_apart(mlpatterns: Command) -> None:
    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *words: object) -> None:
            """Says nothing."""

    with answering(Empty) as there:
        done = mlpatterns("swap", there)
    assert done.code == 1
    assert f"{there} has no HotSwap, or several: /docs shows its pieces" in done.err
