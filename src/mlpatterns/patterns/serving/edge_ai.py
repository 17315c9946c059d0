"""Edge AI

Need: Predict on the device itself
Group: serving
Book: chapter4_serving_patterns/edge_ai_pattern
Mercari: Edge prediction
Japanese: エッジAIパターン
When: a picture must not leave the device, the network is slow or absent, or server costs must not grow with users
When not: the model is too large for a phone, or users must not get a copy of it

Diagram:
    registry ──▶ site ──▶ any static host
                                │ the first load
    device:                     ▼
    camera ─┬─▶ digit ─┬─▶ fast, int8
    pad ────┘          └─▶ accurate, float32
    nothing is sent

Commands:
    mlpatterns train digits_fast digits_accurate
    mlpatterns edge build
    mlpatterns edge serve
    mlpatterns run edge_ai
    mlpatterns demo edge_ai
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from mlpatterns import EdgeModel, EdgeSite, Evidence, Row
from mlpatterns.testing import answers_in_node, answers_in_python, download, labels_of_pictures

if TYPE_CHECKING:
    import httpx

    from mlpatterns.testing import Array

NAME, DIGITS, ALIKE = "edge_ai", 10, 0.995
EVERY = 1  # every n-th image is compared; 1 compares all
app = EdgeSite(EdgeModel.fast("digits_fast"), EdgeModel.accurate("digits_accurate"))


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Loads the site as a browser does, and compares its modules in Node.js with ONNX Runtime in Python."""
    from sklearn.datasets import load_digits

    images, truth = load_digits().images, load_digits().target
    with TemporaryDirectory() as folder:
        loaded = await download(client, Path(folder))
        refused = [(await client.post(f"/{name}", content=b"a picture")).status_code for name in loaded.site.files]
        rows = (images / 16).reshape(len(images), -1)[::EVERY]
        device, python = answers_in_node(loaded, rows), answers_in_python(loaded, rows)
        seen = labels_of_pictures(loaded, [picture(images[place]) for place in range(DIGITS)])
    files, (fast, accurate) = len(loaded.site.files), device
    right = [sum(str(truth[place]) == label for place, label in enumerate(labels)) for labels in seen.values()]
    return Evidence(NAME, (
        Row("every file arrives as the site's own list says", f"{files} whole", f"{files - len(loaded.damaged)} whole",
            not loaded.damaged),
        Row("nothing can be sent to the site", "405 each", ", ".join(map(str, sorted(set(refused)))),
            set(refused) == {405}),
        *[alike(key, device[key], python[key]) for key in device],
        Row("a digit anywhere on a picture is found, cut out and told", f">= {DIGITS - 2} and {DIGITS} of {DIGITS}",
            f"{right[0]} by {fast}, {right[1]} by {accurate}", right[0] >= DIGITS - 2 and right[1] == DIGITS),
    ))  # fmt: skip


def alike(key: str, device: Array, python: Array) -> Row:
    """Compares the labels on the device and in Python, and shows the positions of images that differ."""
    other = np.flatnonzero(device.argmax(axis=1) != python.argmax(axis=1))
    share = 1 - len(other) / len(python)
    shown = f"{share:.4f} of {len(python)}" + (f", not {', '.join(map(str, other[:5]))}" if len(other) else "")
    varied = len(set(python.argmax(axis=1))) == DIGITS  # else a constant answer would pass
    return Row(f"{key}: the same label on the device as in Python", f">= {ALIKE}", shown, share >= ALIKE and varied)


def picture(image: Array) -> Array:
    """A digit as a camera may show it: larger, off-centre, dark on light grey."""
    large = np.kron(image / 16, np.ones((11, 11)))
    sheet = np.zeros((160, 160))
    sheet[20 : 20 + len(large), 45 : 45 + len(large)] = large
    return 220 - 190 * sheet
