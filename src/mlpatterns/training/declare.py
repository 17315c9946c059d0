"""The declaration of a training: its data, estimator, outputs, and the options that a user can set."""

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
    """The options of every training: the share of test rows, and the seed of the split and the estimator."""

    test_size: float = 0.3
    seed: int = 0

    def check(self) -> None:
        """Raises WrongUse if a value is invalid."""
        if not 0 < self.test_size < 1:  # in this form it also refuses NaN
            raise WrongUse(f"test_size must lie between 0 and 1, not {self.test_size}; 0.3 is usual")
        if not 0 <= self.seed < 2**32:
            raise WrongUse(f"seed must be between 0 and {2**32 - 1}, not {self.seed}")


class Training(Struct, frozen=True):
    """One training. `outputs` are in the order of the estimator's outputs.

    Attributes:
        load: loads the data set.
        estimator: makes an unfitted estimator from a seed.
        sample: one row, for documentation and warm-up.
        least: the number of rows of each class that fitting needs.
        options: the type of the options that a user can set.
        variant_option: the option whose values are `variants`; each variant makes a separate model, called
            ``<name>_<variant>``.
        adapt: changes the data set according to the options.
        labels: the class names of the primary output; by default those of the data set.
        answers: computes the outputs of the fitted estimator by name, which the exported model must reproduce.
        margin: computes from the outputs how far each row is from another class; see `parity.compare`.
        metrics: computes the evaluation, valid as JSON, from a prediction function, the data set and its split.
        export: converts the fitted estimator to ONNX bytes.
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
        """The models that it makes, by name, each with the options that select this model."""
        if self.variant_option is None:
            return {self.name: {}}
        return {f"{self.name}_{choice}": {self.variant_option: choice} for choice in self.variants}

    def model_name(self, options: Options) -> str:
        """The name under which the model with these options is registered."""
        return f"{self.name}_{getattr(options, self.variant_option)}" if self.variant_option else self.name

    def split(self, data: Dataset, options: Options) -> DataSplit:
        """Splits `data` into the two parts that the options determine."""
        from mlpatterns.training.datasets import stratified_split

        return stratified_split(data, test_size=options.test_size, seed=options.seed, least=self.least)


def convert_options(training: str, kind: type[T], values: Mapping[str, Any]) -> T:
    """Converts a mapping to options without checking them; `training` is the name for errors.

    Raises:
        UnknownName: `kind` does not have an option, or a value is not one of the choices of its option.
        WrongUse: a value has another type.
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
    """Converts a mapping to the options of `training`, and checks them; numbers may be text.

    Raises:
        UnknownName: the training does not have an option, or a value is not one of the choices of its option.
        WrongUse: a value is invalid.
    """
    options = convert_options(training.name, training.options, values)
    options.check()
    if training.variant_option and (choice := getattr(options, training.variant_option)) not in training.variants:
        raise UnknownName(training.variant_option, choice, training.variants)
    return options
