"""cifar10: its demo holds, every model type learns, and each claim fails for a training that does not keep it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from extras import need
from mlpatterns.cli.demo import print_evidence
from mlpatterns.evidence import Evidence
from mlpatterns.patterns.training import cifar10
from mlpatterns.registry.files import METADATA, MODEL, load_metadata, verify
from mlpatterns.testing import process
from mlpatterns.training import TrainingResult, run, run_step

need("torch", "torch")

pytestmark = [pytest.mark.slow, pytest.mark.integration]

Change = Callable[[TrainingResult], TrainingResult]


class Demo:
    """One run of the demo, and what its parts gave, so that each claim can be broken without training again."""

    def __init__(self, home: Path) -> None:
        self.home, self.results = home, list[TrainingResult]()
        self.steps: dict[Path, tuple[int, str]] = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cifar10, "train", self._train)
            patch.setattr(cifar10, "train_step", self._train_step(cifar10.train_step))
            patch.setattr(cifar10, "killed", self._killed(cifar10.killed))
            self.evidence = cifar10.demo(home)

    def _train(self, *arguments: Any, **options: Any) -> TrainingResult:
        self.results.append(run(*arguments, **options))
        return self.results[-1]

    def _train_step(self, real: Callable[[Path], tuple[int, str]]) -> Callable[[Path], tuple[int, str]]:
        def step(home: Path) -> tuple[int, str]:
            self.steps[home] = real(home)
            return self.steps[home]

        return step

    def _killed(self, real: Callable[[Path], int]) -> Callable[[Path], int]:
        def killed(home: Path) -> int:
            self.done = real(home)
            return self.done

        return killed

    def again(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *,
        second: Change = lambda result: result,
        both: Change = lambda result: result,
        went_on: int | None = None,
        resumed: str | None = None,
        unbroken: str | None = None,
    ) -> Evidence:
        """The demo on what was recorded, with a change."""
        changes = iter((both, lambda result: second(both(result))))
        results = iter(self.results)
        monkeypatch.setattr(cifar10, "train", lambda *a, **k: next(changes)(next(results)))
        monkeypatch.setattr(cifar10, "killed", lambda _: self.done)
        epoch, digest = self.steps[self.home]
        changed = {
            self.home: (went_on or epoch, resumed or digest),
            self.home / "unbroken": (1, unbroken or self.steps[self.home / "unbroken"][1]),
        }
        monkeypatch.setattr(cifar10, "train_step", changed.__getitem__)
        return cifar10.demo(self.home)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo"))


@pytest.mark.heavy  # trains networks
def test_every_claim_holds(shown: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    print_evidence(shown.evidence)
    assert capsys.readouterr().out.endswith("cifar10: all 8 claims hold\n")


def with_metrics(**changes: Any) -> Change:
    return lambda result: replace(result, metrics={**result.metrics, **changes})


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("goes on where it was", {"went_on": 1}),
        ("those of an unbroken one", {"resumed": "0" * 64}),
        ("those of an unbroken one", {"resumed": cifar10.NOTHING, "unbroken": cifar10.NOTHING}),
        ("is found again", {"second": with_metrics(epochs=[])}),
        ("it was not trained on", {"both": with_metrics(accuracy=0.94, served_accuracy=0.94, int8_accuracy=0.94)}),
        ("as torch does", {"both": lambda result: replace(result, parity=replace(result.parity, max_difference=0.01))}),
        ("as the file does", {"both": with_metrics(served_accuracy=0.5)}),
        ("as good", {"both": with_metrics(int8_accuracy=0.9)}),
        ("and small", {"both": with_metrics(int8_size_bytes=10**9)}),
    ],
)
@pytest.mark.heavy  # trains networks
def test_each_claim_fails_where_a_training_does_not_keep_it(
    claim: str, changes: dict[str, Any], shown: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown.again(monkeypatch).holds
    failed = [row.claim for row in shown.again(monkeypatch, **changes).rows if not row.holds]
    assert len(failed) == 1
    assert claim in failed[0]


# The least that each learns the synthetic set from: this is what keeps a type from staying at chance, as a VGG without
# normalisation or the right first weights does.
@pytest.mark.parametrize(
    ("model_type", "width", "epochs"),
    [("simple", 16, 6), ("vgg11", 8, 6), pytest.param("vgg16", 8, 10, marks=pytest.mark.heavy)],
)
def test_every_model_type_learns(model_type: str, width: int, epochs: int, tmp_path: Path) -> None:
    """The default, a ResNet, is the demo's."""
    options = {**cifar10.OPTIONS, "model_type": model_type, "width": width, "epochs": epochs}
    output = run_step("cifar10", "train", home=tmp_path, options=options)
    history = msgspec.json.decode((output.folder / "log" / "history.json").read_bytes())
    assert history[-1]["test_accuracy"] >= 0.95


def test_the_version_holds_both_files_and_the_experiment_every_epoch(shown: Demo) -> None:
    result = shown.results[0]
    assert {"model.onnx", "int8.onnx", "golden.json", "training.json"} < set(verify(result.folder).files)
    assert [row["epoch"] for row in result.metrics["epochs"]] == list(range(1, cifar10.OPTIONS["epochs"] + 1))
    described = load_metadata(result.folder / METADATA)
    assert (described.inputs[0].shape, described.labels[0]) == ((-1, 3, 32, 32), "disc")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_was_trained_is_served_without_torch(shown: Demo) -> None:
    async def mapped() -> str:
        async with process(shown.results[0].folder / MODEL) as server:
            answer = await server.http.get("/v2/models/model")
            assert answer.json()["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 3, 32, 32]}]
            return Path(f"/proc/{server.pid}/maps").read_text()

    libraries = asyncio.run(mapped())
    assert "onnxruntime" in libraries
    assert "torch" not in libraries
