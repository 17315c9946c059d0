"""The app of a project: all that the pattern composes, nothing of its demo, and files where it had a registry."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from mlpatterns.catalog import System, systems
from mlpatterns.scaffold.imports import WIDTH
from mlpatterns.scaffold.source import app_source, with_files

PATTERN = '''"""Header."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpatterns import Answers, Evidence, FanOut, InferenceResponse, OnnxModel, Predictor, Service, serve

if TYPE_CHECKING:
    import httpx
    from numpy.typing import NDArray

# 三つの品種: one model each.
SPECIES = ("setosa", "versicolor")
NUMBERS = {name: number for number, name in enumerate(SPECIES)}
CONCURRENT = 200  # of the demo


def part(name: str) -> Predictor:
    """One species, 一種."""
    return Service(name, OnnxModel(f"iris_{name}", threads=1))


def mean(answers: Mapping[str, Any]) -> NDArray[Any]:
    from PIL import Image

    return np.mean([Image, *answers.values()])


def build() -> Predictor:
    """All of them."""
    parts = {"花": part(name) for name in SPECIES} | {"first": OnnxModel(SPECIES[0]), "all": OnnxModel("iris:3")}
    return FanOut(parts, combine=mean)


def shaped(response: InferenceResponse, context: Any) -> Any:
    return NUMBERS


app = serve(build, answers=Answers(predict=shaped))


async def demo(client: httpx.AsyncClient) -> Evidence:
    await asyncio.sleep(CONCURRENT)
    return helper()


def helper() -> Evidence:
    return Evidence("x", ())
'''
CHOOSING = '''"""Header."""

from mlpatterns import Predictor, chosen_model, serve


def build() -> Predictor:
    """The model that a flag names."""
    return chosen_model("iris")


app = serve(build)
'''
PATTERNS = [system for system in systems() if {"app", "build"} <= system.defines]


def test_build_and_app_stay_with_all_that_they_use() -> None:
    text = app_source(PATTERN, "Mine.").text
    defined = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert defined == {"part", "mean", "build", "shaped"}
    assert "NUMBERS = {name" in text
    assert text.endswith("\n\n\napp = serve(build, answers=Answers(predict=shaped))\n")


def test_the_header_and_the_demo_and_what_only_that_uses_go() -> None:
    text = app_source(PATTERN, "Mine.").text
    assert text.startswith('"""Mine."""\n\nfrom __future__ import annotations\n')
    for gone in ("Header", "demo", "helper", "CONCURRENT", "asyncio", "httpx", "Evidence"):
        assert gone not in text


def test_comments_above_and_beside_what_stays_stay() -> None:
    assert "# 三つの品種: one model each.\nSPECIES = " in app_source(PATTERN, "Mine.").text


def test_imports_are_those_that_are_used_in_the_order_of_isort() -> None:
    text = app_source(PATTERN, "Mine.").text
    assert text.partition('"""\n\n')[2].startswith(
        "from __future__ import annotations\n\n"
        "from collections.abc import Mapping\nfrom pathlib import Path\nfrom typing import TYPE_CHECKING, Any\n\n"
        "import numpy as np\n"
        "from mlpatterns import Answers, FanOut, InferenceResponse, OnnxModel, Predictor, Service, serve\n\n"
        "if TYPE_CHECKING:\n    from numpy.typing import NDArray\n\n"
        "HERE = Path(__file__).parent\n"
    )


def test_a_registered_model_becomes_a_file_however_it_is_named() -> None:
    text = app_source(PATTERN, "Mine.").text
    assert 'OnnxModel(f"file:{HERE}/models/iris_{name}.onnx", threads=1)' in text
    assert 'OnnxModel(f"file:{HERE}/models/{SPECIES[0]}.onnx")' in text
    assert 'OnnxModel(f"file:{HERE}/models/iris:3.onnx", name="iris")' in text


def test_what_it_imports_is_said_even_where_a_function_does() -> None:
    modules = app_source(PATTERN, "Mine.").modules
    assert {"numpy", "PIL", "mlpatterns"} <= modules
    assert "httpx" not in modules


def test_a_name_that_the_pattern_uses_is_not_taken() -> None:
    assert "PROJECT = Path(__file__).parent" in app_source(PATTERN.replace("SPECIES", "HERE"), "Mine.").text


def test_the_model_that_a_pattern_was_made_for_gives_way_to_another() -> None:
    own, other = app_source(CHOOSING, "Mine.").text, app_source(CHOOSING, "Mine.", chosen="mine").text
    assert 'return OnnxModel(f"file:{HERE}/models/iris.onnx")' in own
    assert 'return OnnxModel(f"file:{HERE}/models/mine.onnx")' in other
    for text in (own, other):
        assert "chosen_model" not in text
        assert "flag" not in text  # the docstring told of what is no longer so


@pytest.mark.parametrize("system", PATTERNS, ids=lambda system: system.name)
def test_the_app_of_each_pattern_is_clean_python_that_knows_no_pattern(system: System, tmp_path: Path) -> None:
    assert system.path is not None
    text = app_source(system.path.read_text(encoding="utf-8"), system.header.need).text
    assert "mlpatterns.patterns" not in text
    (tmp_path / "app.py").write_text(text, encoding="utf-8")
    ruff = str(Path(sys.executable).with_name("ruff"))
    rules = ["--select", "E4,E7,E9,F,I", "--line-length", str(WIDTH)]
    command = [ruff, "check", "--isolated", "--no-cache", *rules, "app.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + text


def test_a_users_own_app_stays_whole_and_keeps_the_names_it_serves() -> None:
    text = '''"""Mine."""
from __future__ import annotations
from mlpatterns import OnnxModel, Pipeline, chosen_model, serve
OTHER = 1  # not served, and kept
def build():
    return Pipeline(chosen_model("first"), OnnxModel("second:3"), OnnxModel("third@challenger", name="last"),
                    OnnxModel(f"file:{OTHER}.onnx"))
'''
    made = with_files(text)
    assert compile(made, "app.py", "exec")
    assert 'OnnxModel(f"file:{HERE}/models/first.onnx")' in made
    assert 'OnnxModel(f"file:{HERE}/models/second:3.onnx", name="second")' in made
    assert 'OnnxModel(f"file:{HERE}/models/third@challenger.onnx", name="last")' in made
    assert 'OnnxModel(f"file:{OTHER}.onnx")' in made
    assert "OTHER = 1  # not served, and kept" in made


def test_what_reads_of_a_models_files_reads_those_of_the_project_and_needs_what_it_imports() -> None:
    text = """from mlpatterns import GoldenRows, ImageDecoder, OnnxModel, Pipeline, TensorSpec, serve
def build():
    own = ImageDecoder(TensorSpec("pixels", "FP32", (-1, 64)))
    return Pipeline(ImageDecoder("digits", size=(8, 8)), GoldenRows("digits:3"), OnnxModel("digits"), own)
app = serve(build)
"""
    made = app_source(text, "Mine.")
    assert 'ImageDecoder(f"file:{HERE}/models/digits.onnx", size=(8, 8))' in made.text
    assert 'GoldenRows(f"file:{HERE}/models/digits:3.onnx")' in made.text
    assert 'ImageDecoder(TensorSpec("pixels"' in made.text
    assert "PIL" in made.modules
    assert "PIL" not in app_source(text.replace("ImageDecoder", "Other"), "Mine.").modules
