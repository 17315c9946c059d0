"""The pipeline: the inputs of each step, and the registration at its end.

preprocess ─▶ train ─▶ build ─▶ evaluate ─▶ (register)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlpatterns.settings import Settings, cpus
from mlpatterns.training.cifar10.options import ImageOptions
from mlpatterns.training.contents import library_versions
from mlpatterns.training.step_cache import StepCache, StepOutput
from mlpatterns.training.steps import Progress, TrainingResult, open_registry
from mlpatterns.user_errors import MissingExtra, UnknownName

__all__ = ["CIFAR10", "STEPS", "ImageTraining"]

STEPS = ("preprocess", "train", "build", "evaluate")
REGISTER = "save and register"


class ImageTraining(Struct, frozen=True):
    """A training on images, whose steps store their outputs under ``<home>/steps/<name>``."""

    name: str
    description: str

    def check_step(self, step: str) -> None:
        """Checks that `step` exists.

        Raises:
            UnknownName: the step does not exist.
        """
        if step not in STEPS:
            raise UnknownName("step", step, STEPS)

    def step(
        self, step: str, options: ImageOptions, *, home: Path, report: Callable[[Progress], None] = lambda _: None
    ) -> StepOutput:
        """Runs one step, and the earlier steps whose outputs are missing. It registers nothing.

        Raises:
            UnknownName: the step does not exist.
        """
        self.check_step(step)
        made: StepOutput = getattr(_Outputs(self, options, home, report), step)
        report(Progress("done", len(STEPS), len(STEPS)))
        return made

    def train(
        self,
        options: ImageOptions,
        settings: Settings,
        *,
        promote: bool = False,
        force: bool = False,
        report: Callable[[Progress], None] = lambda _: None,
    ) -> TrainingResult:
        """Runs all steps and registers the model, which becomes visible with the final commit.

        Raises:
            UserError: the data is not the published archive, the disk is full, the model lost parity, or the registry
                is down.
            MissingExtra: torch, onnx, httpx or SQLAlchemy is not installed.
        """
        open_registry(settings)
        outputs = _Outputs(self, options, settings.home, report)
        outputs.evaluate  # noqa: B018 - makes all the others
        report(Progress(REGISTER, len(STEPS), len(STEPS) + 1))
        from mlpatterns.training.cifar10.registered import register_outputs

        made = {step: getattr(outputs, step) for step in STEPS}
        result = register_outputs(
            self.name, options, made,
            description=self.description, settings=settings, promote=promote, force=force,
        )  # fmt: skip
        report(Progress("done", len(STEPS) + 1, len(STEPS) + 1))
        return result


class _Outputs:
    """The outputs of the steps. Each step runs when its output is first used."""

    def __init__(
        self, training: ImageTraining, options: ImageOptions, home: Path, report: Callable[[Progress], None]
    ) -> None:
        self.options, self.report = options, report
        self.cache = StepCache(home / "steps" / training.name)

    @cached_property
    def preprocess(self) -> StepOutput:
        from mlpatterns.training.cifar10.prepared import prepare

        chosen = self.options
        drawn = {"images": chosen.images, "test_images": chosen.test_images, "seed": chosen.seed}
        what: dict[str, Any] = {"synthetic": drawn} if chosen.synthetic else {"archive_md5": chosen.archive.md5}
        return self._run("preprocess", partial(prepare, chosen, report=self._share("preprocess")), what)

    @cached_property
    def train(self) -> StepOutput:
        prepared, chosen = self.preprocess, self.options
        _require_torch()
        from mlpatterns.training.cifar10.fit import fit

        names = ("model_type", "epochs", "batch_size", "learning_rate", "seed")
        what = {name: getattr(chosen, name) for name in names}
        what |= {"width": chosen.channels, "threads": chosen.threads or cpus(), **library_versions(("torch",))}
        work = partial(fit, prepared.folder, chosen, report=lambda share, line: self._tell("train", share, line))
        return self._run("train", work, what, preprocess=prepared)

    @cached_property
    def build(self) -> StepOutput:
        trained, prepared = self.train, self.preprocess
        from mlpatterns.training.cifar10.build import build

        what = library_versions(("torch", "onnxruntime", "onnx"))
        work = partial(build, prepared.folder, trained.folder, self.options)
        return self._run("build", work, what, preprocess=prepared, train=trained)

    @cached_property
    def evaluate(self) -> StepOutput:
        built, prepared = self.build, self.preprocess
        from mlpatterns.training.cifar10.measure import evaluate

        work = partial(evaluate, prepared.folder, built.folder)
        return self._run("evaluate", work, {}, preprocess=prepared, build=built)

    def _run(self, step: str, make: Callable[[Path], None], what: dict[str, Any], **inputs: StepOutput) -> StepOutput:
        self._tell(step, 0.0, "")
        digests = {name: output.digest for name, output in inputs.items()}
        return self.cache.run(step, make, parameters={**what, "code": _code()}, inputs=digests)

    def _share(self, step: str) -> Callable[[float], None]:
        return lambda share: self._tell(step, share, "")

    def _tell(self, step: str, share: float, line: str) -> None:
        self.report(Progress(step, STEPS.index(step), len(STEPS) + 1, share, line))


def _require_torch() -> None:
    if find_spec("torch") is None:
        raise MissingExtra("training on images", "torch")


def _code() -> str:
    """A digest of this package's code, so that a change of the code invalidates cached outputs."""
    state = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        state.update(path.read_bytes())
    return state.hexdigest()


CIFAR10 = ImageTraining("cifar10", "What a picture of 32 by 32 pixels shows: a convolutional network")
