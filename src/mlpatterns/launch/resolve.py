"""Resolves the name of a target: a pattern, else a registered model."""

from __future__ import annotations

from pathlib import Path

from mlpatterns.catalog import System, require
from mlpatterns.references import RegisteredReference, parse_reference
from mlpatterns.registry.locate import find_version
from mlpatterns.settings import load_settings
from mlpatterns.user_errors import MissingExtra, NotOffered, RegistryDown, UnknownName, UserError, WrongUse

__all__ = ["refuse_folder", "resolve_name"]


def resolve_name(target: str) -> System | RegisteredReference:
    """The pattern of that name that has an app, else the registered model: NAME, NAME@ALIAS or NAME:VERSION.

    Raises:
        UnknownName: neither exists; the text suggests the nearest of both.
        WrongUse: neither exists, but a folder does; or the target is not a valid name.
        NotOffered: the pattern has no server, and no model has its name.
        RegistryDown: no pattern has this name, and the registry does not answer.
    """
    try:
        return require(target, "app")
    except (UnknownName, NotOffered) as error:
        try:
            model = _model(target, error)
        except UnknownName:
            refuse_folder(target)
            raise
        if model is None:
            refuse_folder(target)
            raise
        return model


def refuse_folder(target: str) -> None:
    """Checks that a target is not a folder.

    Raises:
        WrongUse: it is a folder.
    """
    if target and Path(target).is_dir():
        raise WrongUse(f"{target} is a folder; name the .py or the .onnx file in it") from None


def _model(target: str, no_pattern: UserError) -> RegisteredReference | None:
    """The registered model, or None if the caller must raise the error about the pattern."""
    try:
        reference = parse_reference(target)
    except UserError:
        if ":" in target or "@" in target:  # no pattern has such a name: the user means a model or an app
            raise WrongUse(
                f"{target!r} cannot be served; write a pattern's NAME, a model's NAME, NAME@ALIAS or NAME:VERSION, "
                "FILE.py:APP or FILE.onnx"
            ) from None
        return None
    if not isinstance(reference, RegisteredReference):
        return None
    try:
        find_version(reference, load_settings().settings)
    except MissingExtra:
        return None
    except UnknownName as error:
        if error.kind != "model":
            raise
        if isinstance(no_pattern, UnknownName):
            raise _neither(target, no_pattern, error) from None
        return None
    except RegistryDown as error:
        raise RegistryDown(
            f"{target!r} is not a pattern that can be served, and whether it is a model is unknown: {error}"
        ) from error
    return reference


def _neither(target: str, no_pattern: UnknownName, no_model: UnknownName) -> UnknownName:
    near = [repr(no_pattern.near)] if no_pattern.near else []
    near += [f"the model {no_model.near!r}"] if no_model.near else []
    suggestion = f"did you mean {' or '.join(near)}? " if near else ""
    return UnknownName(
        "pattern or registered model", target,
        hint=f"{suggestion}`mlpatterns list` shows the patterns, `mlpatterns registry list` the models",
    )  # fmt: skip
