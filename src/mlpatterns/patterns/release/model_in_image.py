"""Model in image

Need: Ship the model inside the server's image, so that both have one version
Group: release
Book: chapter3_release_patterns/model_in_image_pattern
Mercari: Model in image
Japanese: モデルインイメージパターン
When: every replica must run exactly what was tested, and must start without a registry
When not: models are large or change daily: each needs a new image to build, store and pull; load it at startup instead

Diagram:
    registry ── model, version, digest ──┐
    this environment ── pinned wheels ───┼─▶ build context ─▶ image ─▶ server
    the pattern ── app.py ───────────────┘                    its labels: version, digest

Commands:
    mlpatterns train iris_sklearn_svc
    mlpatterns image build model_in_image --tag iris:1
    mlpatterns run model_in_image
    mlpatterns demo model_in_image
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpatterns import Evidence, Predictor, Row, chosen_model, serve
from mlpatterns.testing import build_context, build_image, engine_with, process

if TYPE_CHECKING:
    import httpx

NAME, TAG = "model_in_image", "mlpatterns-demo:model-in-image"
TRAINING = {"scikit-learn", "skl2onnx", "onnx", "scipy", "torch", "sqlalchemy", "alembic", "fastapi", "mlflow-skinny"}
SERVING = {"mlpatterns", "onnxruntime", "numpy", "uvicorn"}


def build() -> Predictor:
    """The model that `--model` names, else the champion of iris_sklearn_svc. In an image it is a file in that image."""
    return chosen_model("iris_sklearn_svc")


app = serve(build)


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Creates the build context twice, and serves it without a registry; builds the image if an engine can."""
    from sklearn.datasets import load_iris

    rows = load_iris().data.tolist()
    with TemporaryDirectory() as name:
        folder = Path(name)
        made, again = [await asyncio.to_thread(build_context, NAME, folder / each) for each in ("one", "two")]
        alike_again = repeated(made, again)  # before serving: Python writes bytecode beside an app that runs
        (folder / "home").mkdir()
        environ = {"MLPATTERNS_HOME": str(folder / "home"), "MLPATTERNS_REGISTRY": f"sqlite:///{folder}/home/none.db"}
        inside = made.folder / "app"
        async with process("app.py", environ=environ, cwd=inside) as server:
            alone, registered = await predict(server.http, rows), await predict(client, rows)
        alike = (whole(inside, registered), small(made), same(alone, registered, folder / "home"))
        versions = (one_version(made, alone, registered), alike_again)
        return Evidence(NAME, (*alike, *versions, *await asyncio.to_thread(built, made)))


async def predict(client: httpx.AsyncClient, rows: list[list[float]]) -> Any:
    """The probabilities, the version and the digest in the answer."""
    (model,) = (await client.post("/v2/repository/index", json={})).json()
    tensor = {"name": "input", "datatype": "FP32", "shape": [len(rows), 4], "data": rows}
    answer = (await client.post(f"/v2/models/{model['name']}/infer", json={"inputs": [tensor]})).json()
    outputs = {output["name"]: np.array(output["data"]) for output in answer["outputs"]}
    return outputs["probabilities"], answer["model_version"], answer["parameters"]["identity"]


def whole(inside: Path, registered: Any) -> Row:
    found = ", ".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in inside.rglob("*.onnx"))
    return Row("the model is in it, byte for byte", registered[2][:12], found[:12], found == registered[2])


def small(made: Any) -> Row:
    names = {pin.partition("==")[0] for pin in made.requirements}
    bad, measured = names & TRAINING, f"{', '.join(sorted(names & TRAINING)) or 'none'} of {len(names)} packages"
    return Row("it has what serves and no library of training", "none", measured, not bad and names >= SERVING)


def same(alone: Any, registered: Any, home: Path) -> Row:
    fits = alone[0].shape == registered[0].shape == (450,)
    apart, left = float(np.abs(alone[0] - registered[0]).max()) if fits else float("inf"), len(list(home.iterdir()))
    claim = "served alone, with no registry: the answers of the registered model; nothing is written"
    return Row(claim, "<= 1e-6, no file", f"{apart:.1e}, {left} files", apart <= 1e-6 and not left)


def one_version(made: Any, alone: Any, registered: Any) -> Row:
    labels = {key.rpartition(".")[2]: value for key, value in made.labels.items() if ".model." in key}
    said = {alone[1:], registered[1:], (labels.get("version", "none"), labels.get("sha256", "none"))}
    measured = ", ".join(sorted(f"{version} ({digest[:12]})" for version, digest in said))
    return Row("registry, label and answer name one version and digest", "one", measured, len(said) == 1)


def repeated(made: Any, again: Any) -> Row:
    first, second = made.contents(), again.contents()
    claim, differ = f"put together again: the same {len(first)} files", len(first ^ second)
    return Row(claim, "0 differ", f"{differ} differ", not differ and len(first) > len(SERVING))


def built(made: Any) -> list[Row]:
    """Builds the image if an engine already has its base image, because a demo downloads nothing."""
    engine = engine_with(made.base)
    if engine is None:
        return []
    return [Row(f"{engine} builds it", "an image", build_image(NAME, TAG, engine), engine_with(TAG) is not None)]
