"""predict: what may be written as data and address, and how a server's answer is shown."""

from __future__ import annotations

import http.server
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlpatterns.cli.predict import predict_url
from mlpatterns.cli.predict_data import parse_data
from mlpatterns.user_errors import UserError
from unit.cli.conftest import Command, answering


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("5.1,3.5,1.4,0.2", {"data": [[5.1, 3.5, 1.4, 0.2]]}),
        ("-1, 2", {"data": [[-1.0, 2.0]]}),
        ("1,2\n\n3,4\n", {"data": [[1.0, 2.0], [3.0, 4.0]]}),
        ("[1, 2]", {"data": [[1, 2]]}),
        ('"0000"', {"data": "0000"}),
        ("[[1, 2], [3, 4]]", {"data": [[1, 2], [3, 4]]}),
        ('[{"a": 1}]', {"data": [{"a": 1}]}),
        ('["0000"]', {"data": ["0000"]}),
        ('{"image_data": "x"}', {"image_data": "x"}),
    ],
)
def test_data_is_json_or_bare_rows(text: str, body: object) -> None:
    assert json.loads(parse_data(text)) == body


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("five", "like 5.1,3.5,1.4,0.2$"),
        ("", "no data"),
        ("[]", "no data"),
        ("1,,2", "neither"),
        ("images/digit.png", "nor rows .*; write @images/digit.png for the file"),
    ],
)
def test_data_that_is_neither_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_data(text)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/predict"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/predict"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/predict"),
        ("localhost:8000/web_single", "http://localhost:8000/web_single/predict"),
        ("https://host/models/a/predict", "https://host/models/a/predict"),
        ("https://host/predict/label", "https://host/predict"),
    ],
)
def test_the_address_of_a_server_is_completed(url: str, where: str) -> None:
    assert predict_url(url) == where


@pytest.mark.parametrize("url", ["ftp://host", "http://", "file:///etc/passwd", ""])
def test_what_is_no_http_address_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="is not an address"):
        predict_url(url)


class Server(http.server.BaseHTTPRequestHandler):
    """Answers as the simple API does, with what it was sent."""

    def do_GET(self) -> None:
        known = self.path == "/typed/metadata"
        self._answer(200 if known else 404, '{"data_type": {"age": "float32", "zip": "str"}}' if known else "{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status, answer = 200, json.dumps({"prediction": json.loads(body)["data"][0]})
        if self.path.endswith("/label"):
            answer = '{"prediction": "setosa"}'
        if self.headers.get("x-api-key") == "wrong":
            status, answer = 401, '{"error": "the API key is not known"}'
        if self.path.startswith("/broken"):
            status, answer = 502, "<html>bad gateway</html>"
        self._answer(status, answer)

    def _answer(self, status: int, answer: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: object) -> None:
        """A test prints nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with answering(Server) as address:
        yield address


def test_the_answer_is_printed_and_the_label_on_request(mlpatterns: Command, server: str) -> None:
    done = mlpatterns("predict", server, "-1,2", "--label")
    assert (done.code, done.err) == (0, "")
    assert done.out == '{"prediction": [-1.0, 2.0]}\n{"prediction": "setosa"}\n'


def test_what_the_columns_are_is_asked_of_the_server(mlpatterns: Command, server: str) -> None:
    for path, sent in (("/typed", "1200"), ("", 1200)):
        told = mlpatterns("predict", f"{server}{path}", "age=22,zip=1200")
        assert json.loads(told.out) == {"prediction": {"age": 22, "zip": sent}}


def test_data_may_come_from_a_file(mlpatterns: Command, server: str) -> None:
    Path("rows.csv").write_text("1,2\n")
    assert mlpatterns("predict", server, "@rows.csv").out == '{"prediction": [1.0, 2.0]}\n'
    done = mlpatterns("predict", server, "@nowhere.csv")
    assert (done.code, done.err) == (2, "mlpatterns: nowhere.csv cannot be read: No such file or directory\n")


def test_a_file_that_is_an_image_is_sent_in_base64(mlpatterns: Command, server: str) -> None:
    from mlpatterns.models.image.image_decoder import SAMPLE

    Path("digit.png").write_bytes(SAMPLE)
    done = mlpatterns("predict", server, "@digit.png")
    assert (done.code, done.out) == (0, '{"prediction": "i"}\n')  # the first letter of what was sent: iVBORw0KGgo…
    Path("odd.csv").write_bytes(b"\xff\xfe1,2")
    assert "odd.csv cannot be read" in mlpatterns("predict", server, "@odd.csv").err


def test_data_may_come_from_standard_input(mlpatterns: Command, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("1,2"))
    assert mlpatterns("predict", server, "-").out == '{"prediction": [1.0, 2.0]}\n'


def test_what_a_server_refuses_is_its_own_sentence_and_exit_code_1(mlpatterns: Command, server: str) -> None:
    done = mlpatterns("predict", server, "1,2", "--api-key", "wrong")
    assert (done.code, done.out) == (1, "")
    assert done.err == "mlpatterns: the server answered 401: the API key is not known\n"


def test_an_answer_that_is_not_ours_is_shown_as_it_came(mlpatterns: Command, server: str) -> None:
    done = mlpatterns("predict", f"{server}/broken", "1,2")
    assert done.err == "mlpatterns: the server answered 502: <html>bad gateway</html>\n"


def test_no_server_is_one_sentence(mlpatterns: Command, server: str) -> None:
    done = mlpatterns("predict", "127.0.0.1:1", "1,2")
    assert done.code == 1
    assert done.err == "mlpatterns: no answer from http://127.0.0.1:1/predict: Connection refused\n"
