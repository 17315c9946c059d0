"""The command as a user runs it: a real process, real files, a real port."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
ROW = "5.1,3.5,1.4,0.2"
PATIENCE = 60.0  # seconds; only a server that hangs takes as long


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which `mlpatterns train` was run once."""
    home = tmp_path_factory.mktemp("home")
    done = command("train", "iris_sklearn_svc", home=home)
    assert done.returncode == 0, done.stderr
    return home


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLPATTERNS_")}
    return {**kept, "MLPATTERNS_HOME": str(home), "PYTHONUNBUFFERED": "1"}


def command(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "mlpatterns", *arguments],
        env=environment(home), cwd=home, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


class Server:
    """A serving process: its address, and every line it has written."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.url = ""
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(r" is on (https?://\S+?)(,|$)", line.strip())
            if found:
                self.url = found[1]
                self._ready.set()
        self._ready.set()

    def wait(self) -> None:
        """Until it says where it is, or ends."""
        assert self._ready.wait(PATIENCE), self.lines
        assert self.url, self.lines

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code


@contextmanager
def serving(*arguments: str, home: Path) -> Iterator[Server]:
    """A server on a free port, ended by its id at the latest here."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mlpatterns", *arguments, "--port", "0"],
        env=environment(home), cwd=home, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    server = Server(process)
    try:
        server.wait()
        yield server
    finally:
        if process.poll() is None:
            server.end()
        assert process.stderr is not None
        process.stderr.close()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
        return text


# ---- from a model to an answer -----------------------------------------------------------------------------------


def test_train_says_what_it_made_and_how_to_serve_it(tmp_path: Path) -> None:
    done = command("train", "iris_sklearn_svc", "--seed", "3", home=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("iris_sklearn_svc:1 (champion)")
    for word in ("sha256", "accuracy", "precision", "recall", "f1", "confusion", "virginica", "parity"):
        assert word in done.stdout
    assert done.stdout.endswith("next: mlpatterns run web_single\n")
    assert done.stderr.splitlines()[0] == "[1/8] open the registry"
    assert {path.name.partition(".db")[0] for path in tmp_path.iterdir()} == {"registry", "artifacts"}


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (("--test-size", "2"), "test_size must lie between 0 and 1", 2),
        (("--eons", "2"), "no such option: --eons", 2),
    ],
)
def test_a_bad_option_of_a_training_is_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], said: str, code: int
) -> None:
    done = command("train", "iris_sklearn_svc", *arguments, home=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.heavy  # trains several models
def test_several_models_are_trained_by_one_command_and_an_option_is_for_its_own_training_only(tmp_path: Path) -> None:
    done = command("train", "iris_binary", "--target-iris", "virginica", home=tmp_path)
    assert done.stdout.startswith("iris_binary_virginica:1 (champion), trained in ")
    assert done.stdout.endswith("next: mlpatterns run horizontal_microservice\n")
    done = command("train", "iris_binary_setosa", "iris_sklearn_outlier", home=tmp_path)
    assert done.returncode == 0
    assert [line.split(":")[0] for line in done.stdout.splitlines() if "(champion)" in line] == [
        "iris_binary_setosa", "iris_sklearn_outlier"
    ]  # fmt: skip
    assert "outlier rate synthetic" in done.stdout
    assert done.stdout.endswith("next: mlpatterns run web_single --model iris_sklearn_outlier\n")
    for arguments, said in (
        (("iris_sklearn_rf", "--target-iris", "setosa"), "there is no option 'target_iris'"),
        (("iris_binary", "--target-iris", "rose"), "there is no target_iris 'rose'"),
    ):
        assert said in one_sentence(command("train", *arguments, home=tmp_path), 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("iris_sklearn_svc", "iris_binary", "--target-iris", "setosa"), "there is no option 'target_iris'"),
        (("iris_binary", "iris_sklearn_svc", "--target-iris", "setosa"), "there is no option 'target_iris'"),
        (("cifar10", "iris_sklearn_svc", "--step", "train"), "there is no pipeline 'iris_sklearn_svc'"),
    ],
)
def test_what_the_last_of_several_does_not_take_is_said_before_the_first_is_trained(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert said in one_sentence(command("train", *arguments, home=tmp_path), 2)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_one_training_of_several_makes_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    done = command("run", "web_single", "--model", "iris_binary_setosa", "--port", "0", home=tmp_path)
    (said,) = re.findall("`mlpatterns (train [a-z_]+)` makes it", done.stderr)
    assert command(*said.split(), home=tmp_path).returncode == 0
    assert len(list(tmp_path.glob("artifacts/iris_binary_setosa/*"))) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_was_trained_is_served_and_asked_and_ends_well(trained: Path, workers: str) -> None:
    with serving("run", "web_single", "--workers", workers, home=trained) as server:
        for _ in range(100):  # with workers the port is open a little before they are
            done = command("predict", server.url, ROW, "--label", home=trained)
            if done.returncode == 0:
                break
        prediction, label = map(json.loads, done.stdout.splitlines())
        assert len(prediction["prediction"]) == 3
        assert label == {"prediction": "setosa"}
        assert server.end() == 0


@pytest.mark.parametrize("flags", [(), ("--workers", "2"), ("--reload",)])
def test_a_registered_model_is_served_by_its_name(trained: Path, flags: tuple[str, ...]) -> None:
    with serving("run", "iris_sklearn_svc:1", *flags, home=trained) as server:
        for _ in range(100):
            done = command("predict", server.url, ROW, "--label", home=trained)
            if done.returncode == 0:
                break
        assert json.loads(done.stdout.splitlines()[1]) == {"prediction": "setosa"}
        assert server.end() == 0
    assert any("loaded iris_sklearn_svc:1" in line for line in server.lines)


def test_a_model_file_needs_no_file_before_its_path(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "house.onnx").write_bytes(next(trained.glob("artifacts/**/model.onnx")).read_bytes())
    with serving("run", "web_single", "--model", str(tmp_path / "house.onnx"), home=trained) as server:
        assert command("predict", server.url, ROW, home=trained).returncode == 0
    assert any("loaded house:" in line for line in server.lines)


def test_a_server_ends_on_ctrl_c_without_a_traceback(trained: Path) -> None:
    with serving("run", "web_single", home=trained) as server:
        assert server.end(signal.SIGINT) in (0, 130)
        assert "Traceback" not in "".join(server.lines)


def test_a_bare_onnx_file_is_served_with_labels(trained: Path, tmp_path: Path) -> None:
    model = next(trained.glob("artifacts/**/model.onnx"))
    (tmp_path / "labels.txt").write_text("one\ntwo\nthree\n")
    with serving("run", str(model), "--labels", str(tmp_path / "labels.txt"), home=trained) as server:
        done = command("predict", server.url, "[[5.1, 3.5, 1.4, 0.2], [6, 3, 5.5, 2]]", "--label", home=trained)
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout.splitlines()[0])["prediction"]) == 2


def test_a_file_of_the_users_is_served_with_access_guarded(trained: Path, tmp_path: Path) -> None:
    own = tmp_path / "my_own.py"
    own.write_text(
        "from mlpatterns import chosen_model, serve\napp = serve(lambda: chosen_model('iris_sklearn_svc'))\n"
    )
    with serving("run", str(own), "--api-keys", "ann=k1", home=trained) as server:
        refused = command("predict", server.url, ROW, home=trained)
        assert refused.returncode == 1
        assert "an API key is needed" in refused.stderr
        assert command("predict", server.url, ROW, "--api-key", "k1", home=trained).returncode == 0


def test_training_ends_on_ctrl_c_with_130_and_no_traceback(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mlpatterns", "train", "iris_sklearn_svc"],
        env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.readline() == "[1/8] open the registry\n"
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    # A shell shows 130 for both: CPython ends itself by the signal where the interrupt had met code in a text.
    assert process.wait(PATIENCE) in (130, -signal.SIGINT)
    assert "Traceback" not in said


# ---- up ----------------------------------------------------------------------------------------------------------


@pytest.mark.heavy  # trains every model
def test_up_trains_what_is_missing_and_serves_every_system_on_one_port(tmp_path: Path) -> None:
    with serving("up", home=tmp_path) as server:
        page = get(server.url)
        assert 'href="web_single/docs"' in page
        assert "http://127.0.0.1" in page
        assert command("predict", f"{server.url}/web_single", ROW, home=tmp_path).returncode == 0
        assert "/web_single" in get(f"{server.url}/web_single/openapi.json")
        assert json.loads(get(f"{server.url}/health/ready")) == {"ready": True}
        assert server.end() == 0
    assert "iris_sklearn_svc is not trained yet: training it (once)\n" in server.lines


@pytest.mark.heavy  # two trainings, and servers
def test_two_that_need_the_same_model_train_it_once(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "mlpatterns", "demo", "web_single"],
            env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    ends = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert len(list(tmp_path.glob("artifacts/iris_sklearn_svc/*"))) == 1


# ---- what goes wrong ---------------------------------------------------------------------------------------------


def one_sentence(done: subprocess.CompletedProcess[str], code: int) -> str:
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == code, done.stderr
    assert last.startswith("mlpatterns: "), done.stderr
    assert "Traceback" not in done.stderr
    return last


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_missing_model_names_the_command_that_makes_it(tmp_path: Path, workers: str) -> None:
    done = command("run", "web_single", "--port", "0", "--workers", workers, home=tmp_path)
    assert one_sentence(done, 1).endswith("`mlpatterns train iris_sklearn_svc` makes it")
    assert done.stderr.count("mlpatterns: ") == 1
    assert not (tmp_path / "artifacts").exists()


def test_a_corrupt_model_file_is_found_before_it_is_served(trained: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(trained, tmp_path / "home"))
    model = next(home.glob("artifacts/**/model.onnx"))
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.chmod(0o644)
    model.write_bytes(content)
    said = one_sentence(command("run", "web_single", "--port", "0", home=home), 1)
    assert "does not match its SHA-256" in said
    assert "`" not in said or "train" in said


def test_a_file_that_is_no_model_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    assert "not a model" in one_sentence(command("run", "model.onnx", "--port", "0", home=tmp_path), 1)
    assert "there is no model file" in one_sentence(command("run", "nowhere.onnx", "--port", "0", home=tmp_path), 2)


def test_a_busy_port_is_one_sentence(tmp_path: Path, trained: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for workers in ("1", "2"):
            done = command("run", "web_single", "--port", port, "--workers", workers, home=trained)
            assert f"port {port} is taken" in one_sentence(done, 1)
        done = command("up", "--port", port, home=tmp_path)  # before it trains anything
        assert f"port {port} is taken" in one_sentence(done, 1)
        assert list(tmp_path.iterdir()) == []


def test_a_misspelt_name_is_one_sentence_with_exit_code_2(tmp_path: Path) -> None:
    assert "did you mean 'web_single'" in one_sentence(command("run", "web_singel", home=tmp_path), 2)


def test_the_users_own_error_is_their_traceback_and_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "my_broken.py").write_text("import nonexistent_module\n")
    done = command("run", "my_broken.py", "--port", "0", home=tmp_path)
    assert done.returncode == 1
    assert "nonexistent_module" in done.stderr
    assert "mlpatterns/cli" not in done.stderr


@pytest.mark.parametrize("arguments", [("list",), ("show", "web_single", "--source"), ("--help",)])
def test_a_reader_that_leaves_is_no_error(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mlpatterns", *arguments],
            env=environment(tmp_path), stdout=writer, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert done.stderr == ""


def test_a_home_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = command("--home", "file", "demo", "web_single", home=tmp_path)
    assert one_sentence(done, 1)


@pytest.mark.parametrize(
    "arguments", [("list",), ("find", "cache"), ("show", "web_single"), ("settings",), ("--help",)]
)
def test_looking_around_loads_no_numerical_library(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    heavy = ("numpy", "onnxruntime", "sklearn", "sqlalchemy", "starlette", "uvicorn", "aiohttp")
    code = (
        "import sys; from mlpatterns.cli import main; main(sys.argv[1:]); "
        f"print([n for n in {heavy!r} if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(tmp_path), capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert done.stderr == "[]\n"
