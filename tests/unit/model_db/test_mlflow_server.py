"""A server of MLflow that refuses, hangs or drips is told in one sentence, within seconds."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from extras import need
from hanging import hanging, trickling
from mlpatterns.model_db.mlflow_client import reply_of
from mlpatterns.model_db.mlflow_import import import_mlflow
from mlpatterns.model_db.mlflow_server import PATIENCE, MlflowError, MlflowServer, why
from mlpatterns.settings import Settings
from mlpatterns.training.tracking import tracked

need("mlflow", "mlflow")

SHORT = "2"  # seconds of patience: the default is asserted below, and one test waits for it


def test_the_first_sentence_of_the_first_cause_is_told() -> None:
    errors = ("outside", "The store (e.g., './runs') is no\n more kept up. Please move. See the docs.")
    assert why(errors) == "The store (e.g., './runs') is no more kept up"


def test_addresses_and_versions_are_not_cut() -> None:
    assert why(["no route to 10.0.0.1 v2.19"]) == "no route to 10.0.0.1 v2.19"


def test_the_first_cause_is_told_without_a_password() -> None:
    def work() -> None:
        try:
            raise OSError("cannot reach http://me:secret@host/x")
        except OSError as error:
            raise ValueError("much around it") from error

    errors = reply_of(work).errors
    assert errors[0] == "much around it"
    assert why(errors) == "cannot reach http://me:***@host/x"


# ---- servers that hang ---------------------------------------------------------------------------------------------


def silent() -> Iterator[float]:
    """Headers, and no byte after them."""
    return iter(())


def dripping() -> Iterator[float]:
    """A byte a second, for ever."""
    return itertools.repeat(1.0)


@contextmanager
def server(kind: str) -> Iterator[str]:
    context = hanging() if kind == "hanging" else trickling(1 << 20, {"silent": silent, "dripping": dripping}[kind]())
    with context as port:
        yield f"http://127.0.0.1:{port}"


def imported(url: str, home: Path) -> None:
    import_mlflow("models:/shapes/1", url, settings=Settings(home=home))


def followed(url: str, home: Path) -> None:
    with tracked(url, "shapes"):
        pytest.fail("the training began")


@pytest.mark.slow  # each waits for its patience to end, and starts MLflow's client
@pytest.mark.parametrize("use", [imported, followed])
@pytest.mark.parametrize("kind", ["hanging", "silent", "dripping"])
def test_a_server_that_hangs_is_given_up_with_a_sentence(
    kind: str, use: Callable[[str, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", SHORT)
    with server(kind) as url, pytest.raises(MlflowError, match=f"^the MLflow server at {url} cannot be used: .*"):
        use(url, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # it starts MLflow's client, and waits for its patience to end
def test_the_patience_is_ten_seconds_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PATIENCE == 10
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    with (
        server("dripping") as url,
        MlflowServer(url, "a test") as asked,
        pytest.raises(MlflowError, match=r"did not answer in 10 s$"),
    ):
        asked.begin_run("shapes")


@pytest.mark.slow  # it starts MLflow's client, and waits for its patience to end
def test_who_was_given_up_answers_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", SHORT)
    with server("dripping") as url, MlflowServer(url, "a test") as asked:
        for sentence in ("did not answer in 2 s$", "did not answer before$"):
            with pytest.raises(MlflowError, match=sentence):
                asked.begin_run("shapes")


class Registry(http.server.BaseHTTPRequestHandler):
    """A registry of MLflow with one version, whose file of artifacts comes as `pauses` say: a mebibyte after each."""

    size = 4 << 20
    pauses: tuple[float, ...] = ()
    over: threading.Event

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.endswith("/server-info"):
            self.said({})
            return
        if parts.path.endswith("/artifacts"):
            inside = [] if "big.bin" in parts.query else [{"path": "big.bin", "is_dir": False, "file_size": self.size}]
            self.said({"files": inside})
            return
        self.send_response(200)
        self.send_header("content-length", str(self.size))
        self.end_headers()
        with suppress(OSError):  # who asked was killed
            for pause in self.pauses:
                if self.over.wait(pause):
                    return
                self.wfile.write(b"x" * (1 << 20 if pause < 2 else 1))

    def said(self, answer: object) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def registry(*pauses: float) -> Iterator[str]:
    over = threading.Event()
    handler = type("Handler", (Registry,), {"pauses": pauses, "over": over})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        listening.daemon_threads = False  # those that answer are waited for
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        over.set()
        listening.shutdown()


@pytest.mark.slow  # a file that takes longer than the patience, and one that never comes
def test_a_file_may_take_long_as_long_as_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
    with registry(1.5, 1.5, 1.5, 1.5) as url, MlflowServer(url, "a test") as asked:
        made = asked.download("mlflow-artifacts:/shapes", "big.bin", tmp_path)
        assert made.stat().st_size == Registry.size
    with registry(0.0, *[2.5] * 60) as url, MlflowServer(url, "a test") as asked:
        (tmp_path / "other").mkdir()
        with pytest.raises(MlflowError, match=f"^the MLflow server at {url} cannot be used: "):
            asked.download("mlflow-artifacts:/shapes", "big.bin", tmp_path / "other")
