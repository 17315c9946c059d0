"""Tests a site without a browser: runs its modules in Node.js, and its models in ONNX Runtime for comparison."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import Struct

from mlpatterns.edge.site import SITE, Site
from mlpatterns.metadata import Array
from mlpatterns.user_errors import UserError

if TYPE_CHECKING:
    import httpx

__all__ = ["DownloadedSite", "answers_in_node", "answers_in_python", "download", "labels_of_pictures"]

SECONDS = 120
# Reads one JSON document, does the work of a page with the site's own modules, and writes one JSON document.
SCRIPT = """
import fs from "node:fs";
const { digitOn } = await import("./ink.js");
const { best, loadModels } = await import("./models.js");
const asked = JSON.parse(fs.readFileSync(0, "utf8"));
const site = JSON.parse(fs.readFileSync("site.json", "utf8"));
const models = await loadModels(site, async (path) => new Uint8Array(fs.readFileSync(path)));
const said = {};
for (const model of models) {
  const probabilities = [], labels = [];
  for (const row of asked.rows) probabilities.push((await model.classify(Float32Array.from(row))).probabilities);
  for (const { grey, side } of asked.pictures) {
    const rgba = Uint8ClampedArray.from({ length: 4 * side * side }, (_, i) => (i % 4 === 3 ? 255 : grey[i >> 2]));
    const pixels = digitOn(rgba, side, side, site.side);
    labels.push(pixels ? best(model.said.labels, (await model.classify(pixels)).probabilities, 1)[0].label : null);
  }
  said[model.said.key] = { probabilities, labels };
}
fs.writeSync(1, JSON.stringify(said));
process.exit(0);
"""


class DownloadedSite(Struct, frozen=True):
    """A downloaded site: its files, and the names of files whose digest is not the one in the site's list."""

    site: Site
    folder: Path
    damaged: tuple[str, ...]


class _Said(Struct, frozen=True):
    probabilities: list[list[float]]
    labels: list[str | None]


async def download(client: httpx.AsyncClient, folder: Path) -> DownloadedSite:
    """Downloads every file of a site to `folder`, and checks the digest of each.

    Args:
        client: an HTTP client for the site.
        folder: the folder for the files.
    """
    listed = (await client.get(f"/{SITE}")).content
    site = msgspec.json.decode(listed, type=Site)
    (folder / SITE).write_bytes(listed)
    damaged = []
    for name, digest in site.files.items():
        content = (await client.get(f"/{name}")).content
        if hashlib.sha256(content).hexdigest() != digest:
            damaged.append(name)
        (folder / name).parent.mkdir(exist_ok=True)  # safe: the name comes from our own list
        (folder / name).write_bytes(content)
    return DownloadedSite(site, folder, tuple(damaged))


def answers_in_node(loaded: DownloadedSite, rows: Array) -> Mapping[str, Array]:
    """The probabilities [rows, labels] of each model by key, as the device computes them.

    Args:
        loaded: the site from `download`.
        rows: shades of grey from 0 to 1, [rows, side x side].

    Raises:
        UserError: Node.js is missing, or the site's modules fail in it.
    """
    return {key: np.array(said.probabilities) for key, said in _asked(loaded, rows, []).items()}


def labels_of_pictures(loaded: DownloadedSite, pictures: list[Array]) -> Mapping[str, list[str | None]]:
    """The labels of pictures by model. The site finds a digit on each picture, cuts it out and classifies it. The label
    is None if no digit was found. Raises as `answers_in_node` does.

    Args:
        loaded: the site from `download`.
        pictures: shades of grey from 0 to 255, each [side, side].
    """
    return {key: said.labels for key, said in _asked(loaded, np.zeros((0, 1)), pictures).items()}


def answers_in_python(loaded: DownloadedSite, rows: Array) -> Mapping[str, Array]:
    """The same probabilities, computed by ONNX Runtime in this process.

    Args:
        loaded: the site from `download`.
        rows: as for `answers_in_node`.
    """
    import onnxruntime

    found = {}
    for model in loaded.site.models:
        session = onnxruntime.InferenceSession(
            (loaded.folder / model.file).read_bytes(), providers=["CPUExecutionProvider"]
        )
        inputs = rows.astype(np.float32).reshape(-1, *model.shape[1:])
        found[model.key] = session.run([model.output], {model.input: inputs})[0]
    return found


def _asked(loaded: DownloadedSite, rows: Array, pictures: list[Array]) -> Mapping[str, _Said]:
    node = shutil.which("node")
    if node is None:
        raise UserError("Node.js, which runs the site's modules, is missing; install it")
    (loaded.folder / "package.json").write_text('{"type": "module"}')
    asked: dict[str, Any] = {
        "rows": rows.tolist(),
        "pictures": [{"grey": picture.ravel().tolist(), "side": len(picture)} for picture in pictures],
    }
    done = subprocess.run(  # noqa: S603 - the script is ours
        [node, "--input-type=module", "-e", SCRIPT], cwd=loaded.folder, input=msgspec.json.encode(asked),
        capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(f"the site's modules failed in Node.js: {words[-1] if words else 'it does not say why'}")
    return msgspec.json.decode(done.stdout, type=dict[str, _Said])
