"""What ONNX Runtime does not load is one sentence each; its own words are in the log, and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from mlpatterns.model_db.importing import import_file
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.models.onnx.refusals import load_error
from mlpatterns.references import FileReference
from mlpatterns.registry.files import unregistered_files
from mlpatterns.runtime import running
from mlpatterns.scaffold.models import copy_model
from mlpatterns.settings import Settings
from mlpatterns.user_errors import ModelFileError
from releases import graph

ROWS: tuple[int, list[Any]] = (T.FLOAT, ["n", 2])


def made(
    op: str = "Identity",
    *,
    domain: str = "",
    inputs: tuple[int, list[Any]] = ROWS,
    outputs: tuple[int, list[Any]] = ROWS,
    opsets: dict[str, int] | None = None,
    ir: int = 9,
    names: tuple[str, ...] = ("x",),
    constants: tuple[Any, ...] = (),
    **attributes: Any,
) -> bytes:
    """One operator between the input `x` and the output `y`."""
    node = helper.make_node(op, names, ["y"], domain=domain, **attributes)
    infos = [helper.make_tensor_value_info(n, *side) for n, side in (("x", inputs), ("y", outputs))]
    imports = [helper.make_opsetid(*each) for each in ({"": 17} if opsets is None else opsets).items()]
    model = helper.make_model(helper.make_graph([node], "g", infos[:1], infos[1:], constants), ir_version=ir)
    del model.opset_import[:]
    model.opset_import.extend(imports)
    content: bytes = model.SerializeToString()
    return content


def served(path: Path) -> None:
    async def main() -> None:
        async with running(OnnxModel(f"file:{path}")):
            pass

    asyncio.run(main())


WORDS: tuple[int, list[Any]] = (T.STRING, ["n"])
NARROW = numpy_helper.from_array(np.ones((3, 2), np.float32), "W")
CASES = {
    "IR": (made(ir=99), r"the IR version 99, and ONNX Runtime \S+ reads up to \d+; install a newer"),
    "opset": (made(opsets={"": 99}), r"the opset 99 of ai\.onnx, and ONNX Runtime \S+ reads up to \d+"),
    "ml": (made(opsets={"": 17, "ai.onnx.ml": 99}), r"the opset 99 of ai\.onnx\.ml, and ONNX Runtime"),
    "no opset": (made(opsets={}), "does not say in which opset"),
    "extensions": (made("BertTokenizer", domain="ai.onnx.contrib", opsets={"": 17, "ai.onnx.contrib": 1}),
                   r"BertTokenizer of onnxruntime-extensions .* --custom-ops FILE, or OnnxModel\(custom_ops="),
    "own": (made("Fused", domain="com.microsoft", opsets={"": 17, "com.microsoft": 1}),
            "Fused of ONNX Runtime itself"),
    "foreign": (made("Wing", domain="com.acme", opsets={"": 17, "com.acme": 1}),
                "Wing of com.acme, which is not part of ONNX Runtime: give the library"),
    "not imported": (made("Wing", domain="com.acme"), "uses operators of com.acme and does not say"),
    "operator": (made("Foo"), r"the operator Foo, which ONNX Runtime \S+ does not have in the opset 17"),
    "locale": (made("StringNormalizer", inputs=WORDS, outputs=WORDS, case_change_action="LOWER", locale="xx_YY.UTF-8"),
               r"the locale xx_YY\.UTF-8, which this machine does not have; install it .* localedef -i xx_YY"),
    "complex": (made(inputs=(T.COMPLEX64, ["n"]), outputs=(T.COMPLEX64, ["n"])), "works with complex64"),
    "int4": (made(inputs=(T.INT4, ["n"]), outputs=(T.INT4, ["n"]), opsets={"": 21}, ir=10),
             "its operator Identity a datatype"),
    "datatypes": (made("Not"), "not a valid ONNX graph at its operator Not"),
    "shapes": (made("MatMul", names=("x", "W"), constants=(NARROW,)), "not a valid ONNX graph at its operator MatMul"),
    "names": (made("Add", names=("x", "nowhere")), "not a valid ONNX graph"),
    "cut": (graph(1.0)[:-1], "cut short or damaged"),
    "zeros": (bytes(4096), "cut short or damaged"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "run `git lfs pull`"),
    "empty": (b"", "is empty; export or copy it again"),
    "page": (b"<!doctype html><title>Not found</title> location", "a page of HTML"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_reason_is_a_sentence_of_its_own_and_onnx_runtime_s_words_go_to_the_log(
    tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    content, said = CASES[case]
    (tmp_path / "m.onnx").write_bytes(content)
    with caplog.at_level(logging.WARNING, "mlpatterns"), pytest.raises(ModelFileError, match=said) as raised:
        served(tmp_path / "m.onnx")
    text = str(raised.value)
    assert text.startswith("m.onnx ")
    assert "\n" not in text
    assert str(tmp_path) not in text
    assert "ONNXRuntimeError" not in text
    assert case == "page" or "ONNX Runtime does not load m.onnx: [ONNXRuntimeError]" in caplog.text
    assert capfd.readouterr() == ("", "")  # not even by its C++ side


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_model_that_takes_or_gives_nothing_is_refused(tmp_path: Path, side: str) -> None:
    info = [helper.make_tensor_value_info("x", *ROWS)]
    node = helper.make_node("Identity", ["W" if side == "inputs" else "x"], ["y"])
    made_of = helper.make_graph(
        [node], "g", [] if side == "inputs" else info,
        [helper.make_tensor_value_info("y", T.FLOAT, [3, 2])] if side == "inputs" else [], [NARROW],
    )  # fmt: skip
    model = helper.make_model(made_of, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="has no input or no output"):
        served(tmp_path / "m.onnx")


def test_a_folder_a_file_that_may_not_be_read_and_none_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelFileError, match="is not a file"):
        served(tmp_path)
    with pytest.raises(ModelFileError, match="there is no model file"):
        served(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes(graph(1.0))

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ModelFileError, match=r"cannot read m\.onnx: permission denied"):
        served(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("Exception: std::bad_alloc"), RuntimeError("BFCArena: Failed to allocate memory")],
)
def test_too_little_memory_is_told(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "m.onnx").write_bytes(graph(1.0))
    assert "needs more memory than this machine has left" in str(
        load_error("m", unregistered_files(tmp_path / "m.onnx"), error)
    )


def test_what_is_not_known_says_where_the_reason_is(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(graph(1.0))
    error = load_error("m", unregistered_files(tmp_path / "m.onnx"), RuntimeError("something else"))
    assert str(error) == "m is not a model that ONNX Runtime can load; the log has its reason"


def test_import_and_project_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(CASES["extensions"][0])
    settings = Settings(home=tmp_path / "home")
    with pytest.raises(ModelFileError, match="of onnxruntime-extensions"):
        import_file(tmp_path / "m.onnx", "m", settings=settings)
    with pytest.raises(ModelFileError, match="of onnxruntime-extensions"):
        copy_model(FileReference(tmp_path / "m.onnx"), tmp_path, settings)
