"""Wrong use of any command is one sentence and exit code 2; what failed otherwise is 1."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import self_signed
from unit.cli.conftest import Command

ROW, SERVER = "5.1,3.5,1.4,0.2", "http://127.0.0.1:9"
PROJECT = ("new", "--pattern", "web_single")


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """A command that serves makes the log its own; another test's log must not go where this one's went."""
    before = [
        (log, list(log.handlers), log.level, log.propagate) for log in map(logging.getLogger, (None, "mlpatterns"))
    ]
    yield
    for log, handlers, level, propagate in before:
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(level)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "http://[::1", ROW), "'http://[::1' is not an address"),
        (("predict", "http://127.0.0.1:x", ROW), "is not an address"),
        (("predict", "http://127.0.0.1:99999", ROW), "is not an address"),
        (("predict", "http://127.0.0.1:8 0/", ROW), "is not an address"),
        (("predict", f"{SERVER}/é", ROW), "is not an address"),
        (("predict", SERVER, "@nothing.csv"), "nothing.csv cannot be read: No such file or directory"),
        (("predict", SERVER, "@there"), "there cannot be read: Is a directory"),
        (("predict", SERVER, "@bytes"), "bytes cannot be read"),
        (("predict", SERVER, ROW, "--timeout", "-1"), "--timeout is a number of seconds, greater than 0"),
        (("predict", SERVER, ROW, "--timeout", "nan"), "--timeout is a number of seconds, greater than 0"),
        (("predict", SERVER, ROW, "--timeout", "inf"), "--timeout is a number of seconds, greater than 0"),
        (("predict", SERVER, ROW, "--api-key", "鍵"), "check --api-key"),
        (("swap", "http://[::1"), "is not an address"),
        (("swap", SERVER, "--timeout", "0"), "--timeout is a number of seconds, greater than 0"),
        (("load", "http://[::1"), "is not an address"),
        (("load", "http://127.0.0.1:x/predict", "--method", "GET"), "is not an address"),
        (("load", SERVER, "--method", "GET", "--ca", "nothing.pem"), "the certificates of nothing.pem cannot be read"),
        (("load", SERVER, "--method", "GET", "--ca", "bytes"), "the certificates of bytes cannot be read"),
        (("load", SERVER, "--method", "GET", "--html", "none/page.html"), "none/page.html cannot be written"),
        (("load", SERVER, "--method", "GET", "--html", "there"), "there cannot be written"),
        (("work", "asynchronous", "--port", "99999"), "it must be a whole number from 0 to 65535"),
        (("work", "web_single"), "this system has no programs"),
        ((*PROJECT, "there"), "there is not empty"),
        ((*PROJECT, "bytes"), "bytes is a file"),
        ((*PROJECT, "none/deep"), "there is no folder"),
        ((*PROJECT, "日本"), "is not a valid one"),
        (("fetch", "iris", "--into", "out", "--wait", "-1"), "invalid value for '--wait'"),
        (("fetch", "iris", "--into", "bytes"), "bytes is a file"),
        (("registry", "alias", "iris:1", "champion", "--expected", "-1"), "invalid value for '--expected'"),
        (("registry", "import", "models:/iris@champion"), "say which with --mlflow URI"),
        (("registry", "import", "some.onnx", "--force"), "--force goes with --promote"),
        (("train", "iris_sklearn_svc", "--force"), "--force goes with --promote"),
        (("edge", "serve", "none"), "there is no site in none"),
        (("edge", "serve", "bytes"), "there is no site in bytes"),
        (("image", "build", "web_single", "--tag", "Capital"), "'Capital' is not an image name"),
        (("image", "build", "web_single", "--tag", "two words"), "is not an image name"),
        (("image", "build", "web_single", "--tag", "a:b:c"), "is not an image name"),
        (("run", "."), ". is a folder; name the .py or the .onnx file in it"),
        (("run", "there"), "there is a folder; name the .py or the .onnx file in it"),
        (("run", "./there"), "./there is a folder; name the .py or the .onnx file in it"),
        (("image", "build", "there"), "there is a folder; name the .py or the .onnx file in it"),
        (
            ("run", "web_single", "--model", "mine.py"),
            "mine.py is a Python file and no model; `mlpatterns run",
        ),
        ((*PROJECT, "new", "--model", "mine.py"), "mine.py is a Python file and no model"),
        (("image", "build", "web_single", "--model", "mine.py"), "mine.py is a Python file and no model"),
        (("batch", "run", "in.csv", "out.csv", "--model", "mine.py"), "mine.py is a Python file and no model"),
    ],
)
def test_wrong_words_are_one_sentence_and_exit_code_2(
    mlpatterns: Command, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    (tmp_path / "bytes").write_bytes(bytes(range(128, 256)))
    (tmp_path / "mine.py").touch()
    done = mlpatterns(*words)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert done.err.startswith("mlpatterns: ")
    assert said in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("run", "web_single"),
        (*PROJECT, "new"),
        ("image", "build", "web_single"),
        ("batch", "run", "in.csv", "out.csv"),
    ],
    ids=" ".join,
)
def test_a_model_of_another_library_is_told_how_to_export_it(mlpatterns: Command, words: tuple[str, ...]) -> None:
    """By every command that takes a model, whether the file is there or not."""
    done = mlpatterns(*words, "--model", "m.pt")
    assert done.code == 2
    assert "m.pt is a torch file; only ONNX files can be served" in done.err
    assert 'mlpatterns.export(model, "m.onnx", sample)' in done.err
    assert "there is no model 'm.pt'" in mlpatterns(*words, "--model", "m.pt@champion").err


def test_a_site_that_was_never_built_is_no_wrong_use(mlpatterns: Command) -> None:
    done = mlpatterns("edge", "serve")
    assert done.code == 1
    assert "`mlpatterns edge build` makes one" in done.err


def test_a_server_that_is_not_there_is_no_wrong_use(mlpatterns: Command) -> None:
    assert mlpatterns("predict", SERVER, ROW).code == 1


@pytest.mark.parametrize("kind", ["nothing there", "no PEM", "key of another", "key with a passphrase"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_certificate_that_cannot_be_used_is_one_sentence(
    mlpatterns: Command, tmp_path: Path, workers: str, kind: str
) -> None:
    certificate, key = self_signed(tmp_path)
    if kind == "nothing there":
        key.unlink()
    elif kind == "no PEM":
        certificate.write_text("hello\n")
    elif kind == "key of another":
        (tmp_path / "other").mkdir()
        key = self_signed(tmp_path / "other")[1]
    else:
        key.write_text(LOCKED)
    app = tmp_path / f"{tmp_path.name}.py"  # each test's own name: a module is imported once a process
    app.write_text(APP)
    words = ("--tls-certificate", str(certificate), "--tls-key", str(key), "--port", "0", "--workers", workers)
    done = mlpatterns("run", str(app), *words)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert done.err.startswith("mlpatterns: tls_")


APP = """
from mlpatterns import PythonModel, TensorSpec, serve

def build():
    spec = TensorSpec("x", "FP32", (-1, 1))
    return PythonModel(lambda model, inputs: inputs, name="same", inputs=[spec], outputs=[spec], load=lambda: None)

app = serve(build)
"""
# What PKCS #8 calls a key that is encrypted; its bytes are never decrypted here.
LOCKED = f"""-----BEGIN ENCRYPTED PRIVATE KEY-----
{base64.b64encode(bytes(48)).decode()}
-----END ENCRYPTED PRIVATE KEY-----
"""
