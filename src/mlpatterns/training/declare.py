"""What a training is: a declaration of data, estimator and outputs, and the options that a user may set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from mlpatterns.errors import UnknownName, UserError
from mlpatterns.predictor import Array, TensorSpec
from mlpatterns.training.datasets import Dataset, Split
from mlpatterns.training.evaluate import score
from mlpatterns.training.export import export_sklearn

__all__ = ["Options", "Training", "classifier_answers", "classifier_metrics", "read_options"]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``mlpatterns train`` takes: the share of rows to test on, and the seed of split and estimator."""

    test_size: float = 0.3
    seed: int = 0

    def check(self) -> None:
        """Raises UserError for a value that cannot be."""
        if not 0 < self.test_size < 1:  # written so that NaN is refused
            raise UserError(f"test_size must lie between 0 and 1, not {self.test_size}; 0.3 is usual")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed must be between 0 and {2**32 - 1}, not {self.seed}")


def read_options(values: Mapping[str, Any]) -> Options:
    """Options from a mapping; numbers may be text.

    Raises:
        UnknownName: for an option that there is not.
        UserError: for a value that cannot be.
    """
    for name in values:
        if name not in Options.__struct_fields__:
            raise UnknownName("option", name, Options.__struct_fields__)
    try:
        options = msgspec.convert(dict(values), Options, strict=False)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$.")
        raise UserError(f"{place.rstrip('`')}: {text[0].lower()}{text[1:]}") from error
    options.check()
    return options


def classifier_answers(fitted: Any, x: Array) -> dict[str, Array]:
    """What a fitted scikit-learn classifier answers, by the names of the exported outputs."""
    return {"label": fitted.predict(x), "probabilities": fitted.predict_proba(x)}


def classifier_metrics(truth: Array, answers: Mapping[str, Array], labels: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy, macro precision, recall, F1 and the confusion matrix."""
    metrics: dict[str, Any] = msgspec.to_builtins(score(truth, answers["label"], len(labels)))
    return metrics


class Training(Struct, frozen=True):
    """One model that can be trained. `outputs` are in the order of the estimator's.

    Attributes:
        load: the data set.
        estimator: from a seed, an estimator that is not fitted.
        answers: the fitted estimator's outputs by name: what the exported model must reproduce.
        metrics: from the true classes and the answers, figures that JSON can hold.
        export: the fitted estimator as ONNX bytes.
        sample: one row, for documentation and warm-up.
        least: rows of each class that fitting needs.
    """

    name: str
    description: str
    load: Callable[[], Dataset]
    estimator: Callable[[int], Any]
    outputs: tuple[TensorSpec, ...]
    primary_output: str
    sample: tuple[float, ...]
    project: str = "mlpatterns"
    least: int = 1
    answers: Callable[[Any, Array], dict[str, Array]] = classifier_answers
    metrics: Callable[[Array, Mapping[str, Array], tuple[str, ...]], dict[str, Any]] = classifier_metrics
    export: Callable[..., bytes] = export_sklearn

    def split(self, data: Dataset, options: Options) -> Split:
        """The two parts of `data` that these options give."""
        from mlpatterns.training.datasets import stratified_split

        return stratified_split(data, test_size=options.test_size, seed=options.seed, least=self.least)
