"""How a model is run: providers, options of the session, libraries of operators, by argument and by setting."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.models.onnx.options import SessionConfig, apply, provider_names
from mlpatterns.registry.files import digest
from mlpatterns.runtime import running
from mlpatterns.settings import Settings, load_settings
from mlpatterns.user_errors import ModelFileError, SettingsError
from onnx_graphs import floats, made
from releases import graph

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that has two providers of those that there are."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ((), [CPU]),
        (("cuda", "cpu"), [CUDA, CPU]),
        (("CUDAExecutionProvider",), [CUDA]),
        ((" Cuda", "cpuexecutionprovider"), [CUDA, CPU]),
        (("cpu", "tensorrt"), [CPU]),  # the first is there
    ],
)
def test_providers_go_by_short_and_by_full_names(asked: tuple[str, ...], names: list[str]) -> None:
    assert provider_names(asked) == names


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("tensorrt", "cpu"), "the provider tensorrt is not in this installation of ONNX Runtime, which has cuda, cpu"),
        (("cpu", "cudda"), "there is no provider 'cudda'; this installation of ONNX Runtime has cuda, cpu"),
    ],
)
def test_the_first_must_be_there_and_all_must_be_known(asked: tuple[str, ...], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        provider_names(asked)


def applied(session: Mapping[str, str]) -> Any:
    options = onnxruntime.SessionOptions()
    apply(SessionConfig(session=session), options)
    return options


def test_options_and_entries_of_the_configuration_are_set() -> None:
    options = applied({
        "intra_op_num_threads": "3", "execution_mode": "parallel", "enable_mem_pattern": "off",
        "log_severity_level": "2", "session.intra_op.allow_spinning": "1",
    })  # fmt: skip
    assert options.intra_op_num_threads == 3
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert options.enable_mem_pattern is False
    assert options.log_severity_level == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("0", "DISABLE_ALL"), ("disable", "DISABLE_ALL"), ("ORT_DISABLE_ALL", "DISABLE_ALL"), ("1", "ENABLE_BASIC"),
        ("basic", "ENABLE_BASIC"), ("ORT_ENABLE_EXTENDED", "ENABLE_EXTENDED"), ("99", "ENABLE_ALL"),
        ("all", "ENABLE_ALL"),
    ],
)  # fmt: skip
def test_the_level_of_optimisation_goes_by_every_spelling(value: str, level: str) -> None:
    wanted = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
    assert applied({"graph_optimization_level": value}).graph_optimization_level == wanted


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("intra_op_threads", "2", "there is no session option 'intra_op_threads'; did you mean 'intra_op_num_threads'"),
        ("nonsense", "2", "there is no session option 'nonsense'; there is intra_op_num_threads"),
        ("intra_op_num_threads", "many", "does not take 'many': it takes a whole number"),
        ("inter_op_num_threads", "-1", "does not take '-1': it takes a whole number"),
        ("enable_mem_pattern", "maybe", "does not take 'maybe': it takes true or false"),
        ("execution_mode", "fast", "does not take 'fast': it takes sequential or parallel"),
        ("graph_optimization_level", "7", "does not take '7': it takes disable, basic, extended or all"),
        ("session.long", "x" * 9000, "the session option session.long does not take"),
    ],
)
def test_what_is_no_option_or_no_value_is_refused(key: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        applied({key: value})


def test_what_the_model_says_counts_for_more_than_the_settings() -> None:
    session = "execution_mode=parallel,intra_op_num_threads=2"
    environ = {
        "MLPATTERNS_PROVIDER": "cuda,cpu",
        "MLPATTERNS_SESSION": session,
        "MLPATTERNS_CUSTOM_OPS": "a.so",
    }
    settings = load_settings(environ=environ).settings
    own = OnnxModel("m", providers=["cpu"], session={"intra_op_num_threads": 4}, custom_ops=[Path("b.so")], threads=1)
    how = own.running.within(settings)
    said = {"execution_mode": "parallel", "intra_op_num_threads": "4"}
    assert how == SessionConfig(("cpu",), said, ("a.so", "b.so"), 1, "keep")
    assert OnnxModel("m").running.within(settings).providers == ("cuda", "cpu")


# ---- the memory of runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "setting", "kept"),
    [(None, "keep", True), (None, "off", False), ("off", "keep", False), ("keep", "off", True)],
)
def test_the_arena_of_the_model_or_of_the_settings_reaches_the_session(
    own: Any, setting: str, kept: bool, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(graph(2.0))
    settings = load_settings(environ={"MLPATTERNS_ARENA": setting}).settings

    async def main() -> None:
        model = OnnxModel(f"file:{path}", arena=own)
        async with running(model, settings=settings):
            options = model._session.get_session_options()
            assert (options.enable_cpu_mem_arena, options.enable_mem_pattern) == (kept, kept)

    asyncio.run(main())


def test_an_option_of_the_session_counts_for_more_than_the_arena() -> None:
    options = onnxruntime.SessionOptions()
    apply(SessionConfig(session={"enable_cpu_mem_arena": "true"}, arena="off"), options)
    assert options.enable_cpu_mem_arena is True


def test_an_arena_that_there_is_not_is_refused() -> None:
    with pytest.raises(SettingsError, match="the arena 'shrink' is unknown; give keep or off"):
        OnnxModel("m", arena="shrink")  # type: ignore[arg-type]


@pytest.mark.slow  # each process loads ONNX Runtime and predicts 40 batches
def test_without_an_arena_a_process_is_as_large_after_batches_of_all_sizes_as_before(tmp_path: Path) -> None:
    path = tmp_path / "wide.onnx"
    weights = [numpy_helper.from_array(np.ones(shape, np.float32), name)
               for name, shape in (("first", (16, 16384)), ("last", (16384, 2)))]  # fmt: skip
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["hidden"]), helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "last"], ["y"]),
    ]  # fmt: skip
    path.write_bytes(made(nodes, {"x": floats("n", 16)}, {"y": floats("n", 2)}, *weights))

    def grown(arena: str) -> float:
        """Megabytes of resident memory."""
        command = [sys.executable, "-m", "benchmarks.arena_child", str(path), arena, "40", "4"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        return float(found["after"] - found["before"])

    with_arena, without = grown("keep"), grown("off")
    assert (with_arena > 50, without < 20) == (True, True), (with_arena, without)  # the first, or this says nothing


# ---- libraries of operators ----------------------------------------------------------------------------------------


def library(path: Path, text: str) -> Path:
    """A library that ONNX Runtime takes, with no operator in it."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    source = path.with_suffix(".c")
    source.write_text(
        f'const char *said = "{text}";\nvoid *RegisterCustomOps(void *o, const void *a) {{ return 0; }}\n'
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(path), str(source)], check=True)
    return path


def identity(path: Path, *libraries: Path) -> str | None:
    async def main() -> str | None:
        model = OnnxModel(f"file:{path}")
        async with running(model, settings=Settings(custom_ops=tuple(map(str, libraries)))):
            return model.identity()

    return asyncio.run(main())


def test_the_bytes_of_a_library_belong_to_the_identity(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(graph(2.0))
    first, second = library(tmp_path / "one.so", "one"), library(tmp_path / "two.so", "two")
    with_first, with_second = identity(path, first), identity(path, second)
    assert len({identity(path), with_first, with_second}) == 3
    assert identity(path) == digest(path)
    assert identity(path, first) == with_first


def test_a_library_that_is_none_or_not_there_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(graph(2.0))
    with pytest.raises(ModelFileError, match=r"there is no library of operators .*nowhere\.so"):
        identity(path, tmp_path / "nowhere.so")
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(ModelFileError, match=r"text\.so is not a library of operators that this ONNX Runtime can load"):
        identity(path, tmp_path / "text.so")
