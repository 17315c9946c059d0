"""A registry with versions of a model for a HotSwap; each version multiplies its input by another factor."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper
from sqlalchemy.orm import Session

from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.model_db.database import engine, writing
from mlpatterns.model_db.register import RegisteredVersion, Registration, register
from mlpatterns.model_db.resources import aliases
from mlpatterns.registry.files import dump_metadata
from mlpatterns.registry.golden import GOLDEN, Golden
from mlpatterns.settings import Settings

NAME = "times"
ROWS = [[1.0], [2.0]]


def graph(factor: float) -> bytes:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("x", "y")]
    node = helper.make_node("Mul", ["x", "factor"], ["y"])
    constant = helper.make_tensor("factor", TensorProto.FLOAT, [], [factor])
    made = helper.make_graph([node], "g", infos[:1], infos[1:], initializer=[constant])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content: bytes = model.SerializeToString()
    onnx.checker.check_model(model)
    return content


class Releases:
    """A registry in `home` or at `url`, with the actions of trainers and operators. `artifacts` is the setting of that
    name."""

    def __init__(self, home: Path, url: str | None = None, artifacts: str | None = None) -> None:
        self.home = home
        self.settings = Settings(home=home, registry=url, artifacts=artifacts)

    def publish(
        self,
        factor: float,
        *,
        promote: bool = True,
        content: bytes | None = None,
        labels: tuple[str, ...] = (),
        golden: Golden | Literal["none"] | None = None,
    ) -> RegisteredVersion:
        """Registers the next version. By default it has a correct golden set; with ``"none"`` it has none."""
        content = graph(factor) if content is None else content
        inputs, outputs = (TensorSpec("x", "FP32", (-1, 1)),), (TensorSpec("y", "FP32", (-1, 1)),)
        sample = {"x": np.ones((1, 1), np.float32)}
        described = ModelMetadata(NAME, "", "onnxruntime_onnx", inputs, outputs, "y", labels, sample)
        golden = golden or Golden(1e-6, {"x": ROWS}, {"y": [[factor * row[0]] for row in ROWS]})
        files = {"model.onnx": content, "metadata.json": dump_metadata(described)}
        if golden != "none":
            files[GOLDEN] = golden.dump()
        entry = Registration(NAME, files)
        # Without checks, because the HotSwap under test must also get invalid versions.
        return register(entry, self.settings, promote=promote, force=True)

    def point(self, number: int, alias: str = "champion") -> None:
        """Moves an alias."""
        made = writing(engine(self.settings.registry_url))
        with Session(made) as session, session.begin():
            aliases.move(session, NAME, alias, number, aliases.ANY)
        made.dispose()

    def unpoint(self, alias: str) -> None:
        """Removes an alias."""
        made = writing(engine(self.settings.registry_url))
        with Session(made) as session, session.begin():
            aliases.delete(session, NAME, alias)
        made.dispose()
