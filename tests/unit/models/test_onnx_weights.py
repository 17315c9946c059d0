"""Weights in other files, served: another weight is another identity, and a file written over changes no answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from mlpatterns.model_db.importing import import_file
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.models.onnx.session import MOST_IN_MEMORY
from mlpatterns.models.swap.hot_swap import HotSwap
from mlpatterns.pieces.cache.prediction_cache import PredictionCache
from mlpatterns.registry.files import digest, unregistered_files
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import client, request
from mlpatterns.user_errors import ModelFileError
from weighted import weighted

THREE = {"x": np.array([[3.0]], np.float32)}


def answered(path: Path) -> tuple[float, str | None, str]:
    async def main() -> tuple[float, str | None, str]:
        model = OnnxModel(f"file:{path}")
        async with running(model):
            response = await model.predict(request(THREE))
            return float(response.outputs["y"][0, 0]), model.identity(), model.metadata.version

    return asyncio.run(main())


def test_another_weight_is_another_identity_and_the_same_again_the_same(tmp_path: Path) -> None:
    path = weighted(tmp_path / "m.onnx", 2.0)
    first = answered(path)
    weighted(path, 5.0)
    second = answered(path)
    assert (first[0], second[0]) == (6.0, 15.0)
    assert first[1] != second[1]
    assert second[2] == (second[1] or "")[:12]
    weighted(path, 2.0)
    assert answered(path) == first


def test_of_a_file_that_is_whole_the_identity_stays_its_digest(tmp_path: Path) -> None:
    path = weighted(tmp_path / "m.onnx", 2.0)
    assert unregistered_files(path).sha256 != digest(path)
    (tmp_path / "whole.onnx").write_bytes(path.read_bytes().replace(b"location", b"lokation"))
    assert unregistered_files(tmp_path / "whole.onnx").sha256 == digest(tmp_path / "whole.onnx")


@pytest.mark.parametrize("where", ["initializer", "constant"])
def test_a_file_that_is_written_over_changes_no_answer_of_a_model_that_serves(tmp_path: Path, where: str) -> None:
    """A file that ONNX Runtime maps would: the identity, and so a cache, would go on as if nothing had changed."""
    path = weighted(tmp_path / "m.onnx", 2.0, where=where)  # type: ignore[arg-type]

    async def main() -> list[float]:
        model = OnnxModel(f"file:{path}")
        async with running(model):
            answers = [await model.predict(request(THREE))]
            weighted(path, 5.0)  # in place: the file stays the same one
            answers.append(await model.predict(request(THREE)))
            return [float(answer.outputs["y"][0, 0]) for answer in answers]

    assert asyncio.run(main()) == [6.0, 6.0]


def test_a_cache_does_not_answer_with_the_numbers_of_other_weights(tmp_path: Path) -> None:
    path, settings = weighted(tmp_path / "m.onnx", 2.0), Settings(home=tmp_path, cache=f"sqlite:///{tmp_path}/cache.db")

    async def asked() -> float:
        cached = PredictionCache(OnnxModel(f"file:{path}"))
        async with running(cached, settings=settings):
            return float((await cached.predict(request(THREE))).outputs["y"][0, 0])

    assert asyncio.run(asked()) == 6.0
    weighted(path, 5.0)
    assert asyncio.run(asked()) == 15.0


def test_a_model_that_is_loaded_again_by_command_has_the_identity_of_its_weights_now(tmp_path: Path) -> None:
    path = weighted(tmp_path / "m.onnx", 2.0)

    async def main() -> tuple[str, str]:
        token = {"x-admin-token": "secret-of-the-admin"}
        async with client(
            lambda: OnnxModel(f"file:{path}"), settings=Settings(admin_token="secret-of-the-admin")
        ) as http:
            before = (await http.get("/v2/models/m")).json()["parameters"]["identity"]
            weighted(path, 5.0)
            assert (await http.post("/v2/repository/models/m/load", headers=token)).status_code == 200
            return before, (await http.get("/v2/models/m")).json()["parameters"]["identity"]

    before, after = asyncio.run(main())
    assert before != after == unregistered_files(path).sha256


@pytest.mark.parametrize("where", ["branch", "function"])
def test_weights_of_subgraphs_and_functions_are_served(tmp_path: Path, where: str) -> None:
    assert answered(weighted(tmp_path / "m.onnx", 2.0, "deep/w.bin", where))[0] == 6.0  # type: ignore[arg-type]


def test_a_file_too_large_for_memory_is_read_by_onnx_runtime_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_IN_MEMORY == 2**31
    monkeypatch.setattr("mlpatterns.models.onnx.session.MOST_IN_MEMORY", 4)
    assert answered(weighted(tmp_path / "m.onnx", 2.0))[0] == 6.0


def test_weights_that_are_not_there_or_cut_or_elsewhere_are_one_sentence_each(tmp_path: Path) -> None:
    path = weighted(tmp_path / "in" / "m.onnx", 2.0)
    weights = path.with_name("weights.bin")
    weights.write_bytes(weights.read_bytes()[:9])
    with pytest.raises(ModelFileError, match=r"m\.onnx keeps weights in another file that is shorter than the model"):
        answered(path)
    weights.rename(tmp_path / "weights.bin")
    with pytest.raises(ModelFileError, match=r"m\.onnx keeps weights in weights\.bin, which is not there"):
        answered(path)
    weights.symlink_to(tmp_path / "weights.bin")
    with pytest.raises(ModelFileError, match=r"weights\.bin, a link that leaves its folder"):
        answered(path)


def test_links_of_a_hub_s_cache_are_followed_where_the_model_s_own_leads(tmp_path: Path) -> None:
    kept = weighted(tmp_path / "blobs" / "aaa", 2.0, "weights.bin")
    folder = tmp_path / "snapshots"
    folder.mkdir()
    (folder / "m.onnx").symlink_to(kept)
    (folder / "weights.bin").symlink_to(kept.with_name("weights.bin"))
    assert answered(folder / "m.onnx")[0] == 6.0


def test_a_hot_swap_changes_to_a_version_of_which_only_the_weights_are_others(tmp_path: Path) -> None:
    path, settings = weighted(tmp_path / "m.onnx", 2.0), Settings(home=tmp_path / "home")
    import_file(path, "m", settings=settings)

    async def main() -> tuple[list[float], set[str | None]]:
        swap = HotSwap("m", check_every=0.02)
        answers, identities = [], set()
        async with running(swap, settings=settings):
            for factor in (2.0, 5.0):
                weighted(path, factor)
                if factor != 2.0:
                    made = await asyncio.to_thread(import_file, path, "m", settings=settings, promote=True)
                    async with asyncio.timeout(20):
                        while swap.metadata.version != str(made.made.version):
                            await asyncio.sleep(0.02)
                answers.append(float((await swap.predict(request(THREE))).outputs["y"][0, 0]))
                identities.add(swap.identity())
        return answers, identities

    answers, identities = asyncio.run(main())
    assert answers == [6.0, 15.0]
    assert len(identities) == 2
