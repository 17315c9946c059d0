"""The declaration of a training: its data, estimator and outputs, and the options that a user may set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Struct

from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.training.datasets import Dataset, DataSplit
from mlpatterns.training.evaluate import Answers, classifier_answers, classifier_margin, classifier_metrics
from mlpatterns.training.export import export_sklearn
from mlpatterns.user_errors import UnknownName, WrongUse

__all__ = ["Options", "Training", "convert_options", "read_options"]

T = TypeVar("T", bound=Struct)


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of every training: the share of rows to test on, and the seed of split and estimator."""

    test_size: float = 0.3
    seed: int = 0

    def check(self) -> None:
        """Raises WrongUse for an invalid value."""
        if not 0 < self.test_size < 1:  # written so that NaN is refused
            raise WrongUse(f"test_size must lie between 0 and 1, not {self.test_size}; 0.3 is usual")
        if not 0 <= self.seed < 2**32:
            raise WrongUse(f"seed must be between 0 and {2**32 - 1}, not {self.seed}")


class Training(Struct, frozen=True):
    """One training. `outputs` are in the order of the estimator's.

    Attributes:
        load: the data set.
        estimator: from a seed, an estimator that is not fitted.
        sample: one row, for documentation and warm-up.
        least: rows of each class that fitting needs.
        options: what a user may set.
        variant_option: the option of which each of `variants` makes a model of its own, called ``<name>_<variant>``.
        adapt: changes the data set as the options say.
        labels: the names of the classes of the primary output; by default those of the data set.
        answers: the fitted estimator's outputs by name: what the exported model must reproduce.
        margin: from outputs, how far each row is from another class; see `parity.compare`.
        metrics: from a function that predicts rows, the data set and its split, evaluations that JSON can hold.
        export: the fitted estimator as ONNX bytes.
    """

    name: str
    description: str
    load: Callable[[], Dataset]
    estimator: Callable[[int], Any]
    outputs: tuple[TensorSpec, ...]
    primary_output: str
    sample: tuple[float, ...]
    least: int = 1
    options: type[Options] = Options
    variant_option: str | None = None
    variants: tuple[str, ...] = ()
    adapt: Callable[[Dataset, Any], Dataset] = lambda data, _: data
    labels: tuple[str, ...] = ()
    threshold: float | None = None
    answers: Callable[[Any, Array], dict[str, Array]] = classifier_answers
    margin: Callable[[Answers], Array] = classifier_margin
    metrics: Callable[[Callable[[Array], Answers], Dataset, DataSplit], dict[str, Any]] = classifier_metrics
    export: Callable[..., bytes] = export_sklearn

    @property
    def models(self) -> dict[str, dict[str, str]]:
        """The models it makes by name, each with the options that make it and no other."""
        if self.variant_option is None:
            return {self.name: {}}
        return {f"{self.name}_{choice}": {self.variant_option: choice} for choice in self.variants}

    def model_name(self, options: Options) -> str:
        """The name under which the model of these options is registered."""
        return f"{self.name}_{getattr(options, self.variant_option)}" if self.variant_option else self.name

    def split(self, data: Dataset, options: Options) -> DataSplit:
        """The two parts of `data` that these options give."""
        from mlpatterns.training.datasets import stratified_split

        return stratified_split(data, test_size=options.test_size, seed=options.seed, least=self.least)


def convert_options(training: str, kind: type[T], values: Mapping[str, Any]) -> T:
    """Options from a mapping, not yet checked; `training` is the name in its errors.

    Raises:
        UnknownName: for an option that `kind` does not have.
        WrongUse: for a value of another type.
    """
    fields = tuple(field.name for field in msgspec.structs.fields(kind))
    for name in values:
        if name not in fields:
            raise UnknownName("option", name, fields, f"{training} takes {', '.join(fields)}")
    try:
        return msgspec.convert(dict(values), kind, strict=False)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$.")
        name = place.rstrip("`")
        choices = get_args(get_type_hints(kind)[name]) if name in fields else ()
        if choices:
            raise UnknownName(name, str(values[name]), choices) from error
        raise WrongUse(f"{name}: {text[0].lower()}{text[1:]}") from error


def read_options(training: Training, values: Mapping[str, Any]) -> Options:
    """The options of `training` from a mapping; numbers may be text.

    Raises:
        UnknownName: for an option that the training does not have, or a choice that there is not.
        WrongUse: for a value that cannot be.
    """
    options = convert_options(training.name, training.options, values)
    options.check()
    if training.variant_option and (choice := getattr(options, training.variant_option)) not in training.variants:
        raise UnknownName(training.variant_option, choice, training.variants)
    return options
