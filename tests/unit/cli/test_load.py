"""load: which flags go together, what they send, what is printed and written, and the exit code."""

from __future__ import annotations

import http.server
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mlpatterns.cli.load import parse_seconds
from mlpatterns.load import ServerLimits, Target, attack
from mlpatterns.load.limit import Trial
from mlpatterns.testing import free_port
from mlpatterns.user_errors import SettingsError
from unit.cli.conftest import Command, answering

Asked = list[tuple[str, str, bytes, str | None]]
SHORT = ("--rate", "100", "--duration", "50ms")
GET = (*SHORT, "--method", "GET")


class Serving(http.server.BaseHTTPRequestHandler):
    """A server of ours, as far as it is asked here: method, path, body and user-id of each request are noted."""

    asked: ClassVar[Asked] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b'{"data_sample": [[5.1, 3.5]]}')

    def do_POST(self) -> None:
        self._answer(b'{"prediction": [0.5]}')

    def _answer(self, body: bytes) -> None:
        sent = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.asked.append((self.command, self.path, sent, self.headers.get("user-id")))
        self.send_response({"/busy": 503, "/other/metadata": 404}.get(self.path, 200))
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")  # it answers one connection after the other
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Serving.asked = []
    with answering(Serving) as url:
        yield url


def test_a_server_alone_is_sent_its_sample(mlpatterns: Command, server: str) -> None:
    done = mlpatterns("load", server, *SHORT, "-H", "user-id: 7")
    assert (done.code, done.err) == (0, "")
    assert [line[:33].rstrip() for line in done.out.splitlines()] == [
        "Requests      [total, rate, throu", "Duration      [total, attack, wai", "Latencies     [min, mean, 50, 90,",
        "Bytes In      [total, mean]", "Bytes Out     [total, mean]", "Success       [ratio]",
        "Status Codes  [code:count]", "Error Set:",
    ]  # fmt: skip
    assert Serving.asked == [
        ("GET", "/metadata", b"", "7"), *[("POST", "/predict", b'{"data":[[5.1,3.5]]}', "7")] * 5,
    ]  # fmt: skip


def test_a_method_alone_loads_the_address_as_it_is(mlpatterns: Command, server: str) -> None:
    assert mlpatterns("load", f"http://{server}/health?x=1", "--method", "get", *SHORT).code == 0
    assert Serving.asked == [("GET", "/health?x=1", b"", None)] * 5


def test_a_server_below_a_path_is_sent_its_sample_and_one_without_says_what_to_do(
    mlpatterns: Command, server: str
) -> None:
    assert mlpatterns("load", f"{server}/web_single", *SHORT).code == 0
    assert Serving.asked[1][:2] == ("POST", "/web_single/predict")
    done = mlpatterns("load", f"{server}/other", *SHORT)
    assert (done.code, done.out) == (1, "")
    assert "there is no sample at http://" in done.err
    assert "--method GET loads an address as it is" in done.err


def test_a_body_or_the_rows_of_a_csv_are_posted(mlpatterns: Command, server: str) -> None:
    Path("body.json").write_text('{"data": 1}')
    Path("rows.csv").write_text("a,b\n1,2\n3,4\n")
    assert mlpatterns("load", f"{server}/predict", "--body", "body.json", "--method", "put", *SHORT).code == 0
    assert mlpatterns("load", f"{server}/predict", "--data", "rows.csv", *SHORT).code == 0
    assert [asked for asked in Serving.asked if asked[0] == "PUT"] == [("PUT", "/predict", b'{"data": 1}', None)] * 5
    posted = [sent for method, _, sent, _ in Serving.asked if method == "POST"]
    Serving.asked.clear()
    assert mlpatterns("load", server, "--data", "rows.csv", *SHORT).code == 0
    assert {asked[:2] for asked in Serving.asked} == {("POST", "/predict")}
    assert sorted(posted) == [b'{"data":[{"a":1,"b":2}]}'] * 3 + [b'{"data":[{"a":3,"b":4}]}'] * 2


def test_a_target_file_of_vegeta_says_all(mlpatterns: Command, server: str) -> None:
    Path("targets").write_text(f"GET http://{server}/a\nuser-id: 1\n\nPOST http://{server}/b\n@body\n")
    Path("body").write_text("x")
    assert mlpatterns("load", "--targets", "targets", *SHORT).code == 0
    assert sorted(set(Serving.asked)) == [("GET", "/a", b"", "1"), ("POST", "/b", b"x", None)]


def test_json_and_a_page(mlpatterns: Command, server: str) -> None:
    done = mlpatterns("load", f"{server}/health", *GET, "--json", "--html", "page.html")
    assert json.loads(done.out)["status_codes"] == {"200": 5}
    assert done.err == "the page is in page.html\n"
    assert Path("page.html").read_text().startswith("<!doctype html>")


def test_a_page_that_cannot_be_written_is_told_before_the_load(mlpatterns: Command, server: str) -> None:
    done = mlpatterns("load", f"{server}/health", *GET, "--html", "no/page.html")
    assert (done.code, done.out) == (2, "")
    assert "no/page.html cannot be written" in done.err
    assert Serving.asked == []


def test_a_goal_that_is_not_met_is_exit_code_1(mlpatterns: Command, server: str) -> None:
    assert mlpatterns("load", f"{server}/health", *GET, "--success", "100").code == 0
    done = mlpatterns("load", f"{server}/busy", *GET, "--success", "99.9")
    assert done.code == 1
    assert done.out.endswith("Error Set:\n503 Service Unavailable\n")
    assert mlpatterns("load", f"{server}/busy", *GET).code == 0


def test_a_scenario_of_the_book_may_be_shortened(mlpatterns: Command, server: str) -> None:
    done = mlpatterns(
        "load", f"{server}/health", "--method", "GET", "--scenario", "load_test", "--duration", "40ms", "--json"
    )
    assert json.loads(done.out)["planned_rate"] == 100
    assert len(Serving.asked) == 4


def test_steps_are_taken_in_turn(mlpatterns: Command, server: str) -> None:
    done = mlpatterns(
        "load", f"{server}/health", "--method", "GET", "--steps", "20,40", "--duration", "100ms", "--json"
    )
    assert [step["requests"] for step in json.loads(done.out)["steps"]] == [2, 4]


def test_ctrl_c_ends_the_load_and_not_the_report(mlpatterns: Command, server: str) -> None:
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    done = mlpatterns("load", f"{server}/health", "--method", "GET", "--rate", "20", "--duration", "60s")
    timer.join()
    assert done.code == 0
    assert done.out.startswith("Requests")
    assert 1 <= len(Serving.asked) < 600
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_server_that_is_not_there(mlpatterns: Command) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    assert "Error Set:\nconnection refused\n" in mlpatterns("load", f"{nobody}/health", *GET).out
    done = mlpatterns("load", nobody, *SHORT)  # whose sample is wanted
    assert (done.code, done.err) == (1, f"mlpatterns: no answer from http://{nobody}/metadata: Connection refused\n")
    done = mlpatterns("load", f"{nobody}/health", "--method", "GET", "--find-limit")
    assert (done.code, done.out) == (1, "")
    assert "the server cannot sustain 10 requests a second: connection refused" in done.err


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_the_limit_is_printed_and_each_trial_told(
    mlpatterns: Command, server: str, flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    async def find_limit(targets: list[Target], *, told: Callable[[Trial], None], **options: Any) -> ServerLimits:
        asked.update(options)
        report = await attack(targets, rate=100, seconds=0.02)
        told(Trial(report.steps[0], ""))
        return ServerLimits(190, 207, "only 199/s were answered", 200, 0.02, 4, 200, (Trial(report.steps[0], ""),))

    monkeypatch.setattr("mlpatterns.load.limit.find_limit", find_limit)
    done = mlpatterns("load", server, "--find-limit", "--p99", "50ms", "--timeout", "5s", *flags)
    assert done.code == 0
    assert done.err.startswith("100/s: held, p50 ")
    assert (asked["seconds"], asked["p99"], asked["request_timeout"]) == (2.0, 0.05, 5.0)
    if flags:
        assert json.loads(done.out)["concurrency"] == 4
    else:
        assert done.out.startswith("Limit         190 requests a second\nBeyond        at 207 a second only 199/s were")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "give the URL of what to load, or --targets FILE"),
        (("127.0.0.1", "--targets", "x"), 2, "give the URL of what to load, or --targets FILE"),
        (("127.0.0.1", "--body", "x", "--data", "y"), 2, "--body and --data contradict each other; give one of them"),
        (("127.0.0.1", "--rate", "1", "--steps", "1"), 2, "--rate and --steps contradict each other"),
        (("127.0.0.1", "--rate", "1", "--find-limit"), 2, "--rate and --find-limit contradict each other"),
        (("--targets", "x", "--method", "GET"), 2, "leave --method and --header out"),
        (("127.0.0.1", "--p99", "50ms"), 2, "--p99 is a bound of --find-limit"),
        (("127.0.0.1", "--find-limit", "--html", "x"), 2, "leave --html and --success out"),
        (
            ("127.0.0.1/x", "--method", "GET", "--duration", "soon"),
            2,
            "'soon' is not a duration; write one like 500ms, 30s or 2m",
        ),
        (("127.0.0.1/x", "--timeout", "0"), 2, "'0' is not a duration"),
        (
            ("127.0.0.1/x", "--method", "GET", "--steps", "1,fast"),
            2,
            "'1,fast' are not rates; write them like 100,200,400",
        ),
        (("127.0.0.1/x", "--method", "GET", "--scenario", "load_tset"), 2, "did you mean 'load_test'?"),
        (("127.0.0.1/x", "-H", "nonsense"), 2, "'nonsense' is not a header"),
        (("127.0.0.1/x", "--connections", "0"), 2, "invalid value for '--connections'"),
        (("127.0.0.1/x", "--success", "nan"), 2, "invalid value for '--success'"),
        (("127.0.0.1/x", "--rate", "0", "--method", "GET"), 2, "a rate must be more than 0"),
        (("127.0.0.1/x", "--method", "FETCH"), 2, "'FETCH' is not a method"),
        (("127.0.0.1/x", "--body", "absent"), 2, "absent cannot be read: No such file or directory"),
        (("ftp://127.0.0.1",), 2, "is not an address"),
        (("192.0.2.1",), 1, "192.0.2.1 is another machine"),
        (("192.0.2.1/health", "--method", "GET"), 1, "confirm it with --allow-remote"),
    ],
)
def test_a_mistake_is_one_sentence(mlpatterns: Command, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = mlpatterns("load", *arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("2m", 120), ("1h", 3600), ("1.5", 1.5), (" 2s ", 2)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1d", "0ms", "1e3", "nan", "٣s", "1" * 50])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_seconds(text)
