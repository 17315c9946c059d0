"""GoldenRows: rows by key, out of what was kept of a training."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from mlpatterns import GoldenRows, InvalidInput, ModelFileError, NotFound, NotStarted, Settings, running
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.registry.files import ModelFiles
from mlpatterns.registry.golden import GOLDEN, Golden
from mlpatterns.testing import request

ROWS = [[float(number), 0.5] for number in range(12)]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFiles:
    """A registered model with a golden set, as `find_model_files` finds it."""
    metadata = ModelMetadata("m", "3", "p", (TensorSpec("x", "FP32", (-1, 2)),), (), "y")
    found = ModelFiles(tmp_path / "model.onnx", tmp_path, "digest", "m", "3", metadata)
    (tmp_path / GOLDEN).write_bytes(Golden(1e-4, {"x": ROWS}, {"y": [0.0] * len(ROWS)}).dump())

    async def find_model_files(*_: object) -> ModelFiles:
        return found

    monkeypatch.setattr("mlpatterns.models.golden.rows.find_model_files", find_model_files)
    return found


def run(work: Callable[[GoldenRows], Awaitable[None]]) -> None:
    rows = GoldenRows("m")

    async def main() -> None:
        async with running(rows, settings=Settings()):
            await work(rows)
        with pytest.raises(NotStarted):
            _ = rows.metadata

    asyncio.run(main())


def keys(*values: bytes, **fields: Any) -> Any:
    return request({"key": np.array([[value] for value in values], dtype=object)}, **fields)


def test_each_key_gives_its_row_in_the_order_of_the_request(files: ModelFiles) -> None:
    async def work(rows: GoldenRows) -> None:
        response = await rows.predict(keys(b"0011", b"0000", b"0011"))
        assert response.outputs["x"].tolist() == [ROWS[11], ROWS[0], ROWS[11]]
        assert response.outputs["x"].dtype == np.float32
        assert (response.model_version, response.identity) == ("3", rows.identity())
        assert (await rows.predict(keys(b"0001", outputs=("x",)))).outputs["x"].tolist() == [ROWS[1]]

    run(work)


def test_it_says_what_it_takes_and_gives(files: ModelFiles) -> None:
    async def work(rows: GoldenRows) -> None:
        assert rows.metadata.inputs == (TensorSpec("key", "BYTES", (-1, 1), content="key"),)
        assert rows.metadata.outputs == (TensorSpec("x", "FP32", (-1, 2)),)
        assert rows.metadata.sample is not None
        assert (await rows.predict(request(rows.metadata.sample))).outputs["x"].tolist() == [ROWS[0]]

    run(work)


@pytest.mark.parametrize("key", [b"0012", b"0", b"", b"\xff" * 200, b"-001"])
def test_a_key_that_there_is_not_is_not_found_and_shown_safely(files: ModelFiles, key: bytes) -> None:
    async def work(rows: GoldenRows) -> None:
        with pytest.raises(NotFound, match=r"there is no row .*; the keys are '0000' to '0011'") as caught:
            await rows.predict(keys(key))
        assert len(str(caught.value)) < 150

    run(work)


def test_what_it_does_not_know_is_invalid(files: ModelFiles) -> None:
    async def work(rows: GoldenRows) -> None:
        with pytest.raises(InvalidInput, match="'key' is missing"):
            await rows.predict(request([[1.0]]))
        with pytest.raises(InvalidInput, match="no output 'z'; the outputs are x"):
            await rows.predict(keys(b"0000", outputs=("z",)))

    run(work)


def test_its_identity_changes_with_the_rows(files: ModelFiles, tmp_path: Path) -> None:
    seen = []

    async def work(rows: GoldenRows) -> None:
        seen.append(rows.identity())

    run(work)
    run(work)
    (tmp_path / GOLDEN).write_bytes(Golden(1e-4, {"x": [[9.0, 9.0]]}, {"y": [0.0]}).dump())
    run(work)
    assert seen[0] == seen[1] != seen[2]
    assert None not in seen


def test_a_model_without_a_golden_set_has_the_rows_of_its_sample(files: ModelFiles, tmp_path: Path) -> None:
    from mlpatterns.registry.golden import golden_inputs

    assert files.metadata is not None
    (tmp_path / GOLDEN).unlink()
    sample = {"x": np.array([[1.0, 2.0]], np.float32)}
    sampled = replace(files, metadata=replace(files.metadata, sample=sample))
    rows, digest = golden_inputs(sampled)
    assert rows["x"].tolist() == [[1.0, 2.0]]
    other = replace(sampled, metadata=replace(files.metadata, sample={"x": sample["x"] + 1}))
    assert golden_inputs(other)[1] != digest


def test_a_file_of_no_registry_has_its_golden_set_beside_it(files: ModelFiles, tmp_path: Path) -> None:
    from mlpatterns.registry.golden import golden_inputs

    alone = replace(files, folder=None, model=tmp_path / "mine.onnx")
    (tmp_path / GOLDEN).rename(tmp_path / "mine.golden.json")
    assert golden_inputs(alone)[0]["x"].tolist() == ROWS


@pytest.mark.parametrize(
    "content", [None, b"", b"{}", b'{"tolerance": 1, "inputs": {}, "outputs": {}}',
                b'{"tolerance": 1, "inputs": {"x": ["a"]}, "outputs": {}}'],
)  # fmt: skip
def test_a_model_without_a_golden_set_is_one_sentence_at_start(
    files: ModelFiles, tmp_path: Path, content: bytes | None
) -> None:
    async def work(rows: GoldenRows) -> None:
        raise AssertionError("it must not run")

    (tmp_path / GOLDEN).unlink() if content is None else (tmp_path / GOLDEN).write_bytes(content)
    with pytest.raises(ModelFileError, match="golden set"):
        run(work)
