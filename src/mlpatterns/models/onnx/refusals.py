"""Explains in one sentence for the user why ONNX Runtime does not load a model. ONNX Runtime's own error text contains
paths and lines of its source code, so it is only logged."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

from mlpatterns.onnx_format.other_files import refused_content
from mlpatterns.registry.files import ModelFiles
from mlpatterns.user_errors import ModelFileError

__all__ = ["load_error"]

log = logging.getLogger("mlpatterns")

Words = Callable[[re.Match[str]], str]
EXTENSIONS = "ai.onnx.contrib"  # the domain of the package onnxruntime-extensions
OWN_DOMAINS = re.compile(r"com\.ms\.|com\.microsoft|org\.pytorch\.aten")


def load_error(what: str, files: ModelFiles, error: Exception) -> ModelFileError:
    """The error to raise for a model that ONNX Runtime did not load.

    Args:
        what: the user's name for the model.
        error: the error of ONNX Runtime.
    """
    reason = " ".join(str(error).split())
    log.warning("ONNX Runtime does not load %s: %s", what, reason)
    return ModelFileError(f"{what} {next(_sentences(files, error, reason))}")


# ---- reasons, the most certain first ---------------------------------------------------------------------------------


def _sentences(files: ModelFiles, error: Exception, reason: str) -> Iterator[str]:
    if said := refused_content(files.model):
        yield said
    if isinstance(error, MemoryError) or re.search(r"bad_alloc|[Ff]ailed to allocate|bad allocation", reason):
        yield "needs more memory than this machine has left; stop something, or serve it on a larger one"
    if said := _known_reason(reason):
        yield said
    yield _unreadable(files) or "is not a model that ONNX Runtime can load; the log has its reason"


def _known_reason(reason: str) -> str | None:
    for pattern, words in _REASONS:
        if match := re.search(pattern, reason):
            return words(match)
    return None


def _unreadable(files: ModelFiles) -> str | None:
    from mlpatterns.onnx_format.messages import read_model

    try:
        read_model(files.model.read_bytes())
    except (OSError, ModelFileError):
        return "is cut short or damaged, or is not an ONNX model: copy or export it again"
    return None


def _runtime() -> str:
    from onnxruntime import __version__

    return f"ONNX Runtime {__version__}"


def _newer(what: str) -> Words:
    """For a file that is too new. The group `file` is its version, and `most` is the newest supported version."""

    def words(match: re.Match[str]) -> str:
        found: dict[str, Any] = match.groupdict()
        of = f" of {found['domain']}" if found.get("domain") else ""
        return (f"has the {what} {found['file']}{of}, and {_runtime()} reads up to {found['most']}; install a newer "
                f"onnxruntime, or export the model for an older {what}")  # fmt: skip

    return words


def _missing_operator(match: re.Match[str]) -> str:
    domain, operator = match["domain"], match["operator"]
    if domain == EXTENSIONS:
        return (f"uses the operator {operator} of onnxruntime-extensions ({domain}): pip install it, and give the file "
                "that its get_library_path() names as --custom-ops FILE, or OnnxModel(custom_ops=[FILE])")  # fmt: skip
    if OWN_DOMAINS.match(domain):
        return (f"uses the operator {operator} of ONNX Runtime itself ({domain}), which {_runtime()} does not have; "
                "install the version or the build that the model was made for")  # fmt: skip
    return (f"uses the operator {operator} of {domain}, which is not part of ONNX Runtime: give the library that has "
            "it as --custom-ops FILE, or OnnxModel(custom_ops=[FILE])")  # fmt: skip


def _not_imported(match: re.Match[str]) -> str:
    return (f"uses operators of {match['domain']} and does not say of which version, so it is not a valid ONNX graph; "
            "export it again")  # fmt: skip


def _other_opset(match: re.Match[str]) -> str:
    return (f"uses the operator {match['operator']}, which {_runtime()} does not have in the opset {match['opset']} "
            "that the model asks for; export it for another opset, or install a newer onnxruntime")  # fmt: skip


def _locale(match: re.Match[str]) -> str:
    name = match["locale"].strip()
    language = name.partition(".")[0]
    return (f"needs the locale {name}, which this machine does not have; install it (on Debian: apt-get install "
            f"locales && localedef -i {language} -f UTF-8 {name}), or export the model with the locale C")  # fmt: skip


def _datatype(match: re.Match[str]) -> str:
    return f"works with {match['kind']}, which ONNX Runtime does not have; export it with another datatype"


def _unimplemented(match: re.Match[str]) -> str:
    return (f"gives its operator {match['operator']} a datatype for which {_runtime()} has no implementation here; "
            "export it with float32, or ask for another --provider")  # fmt: skip


def _invalid(match: re.Match[str]) -> str:
    where = match.groupdict().get("operator")
    at = f" at its operator {where}" if where else ""
    return (
        f"is not a valid ONNX graph{at}: datatypes, shapes or names do not fit; the log says which, so export it again"
    )


# Patterns for the error texts of ONNX Runtime 1.19 to 1.32.
_REASONS: tuple[tuple[str, Words], ...] = (
    (r"model IR version: (?P<file>\d+), max supported IR version: (?P<most>\d+)", _newer("IR version")),
    (r"Opset (?P<file>\d+) is under development.*for domain (?P<domain>\S+) is till opset (?P<most>\d+)",
     _newer("opset")),
    (r"(?P<domain>[\w.\-]+):(?P<operator>\w+)\(-?\d+\) is not a registered function/op", _missing_operator),
    (r"No opset import for domain '(?P<domain>[^']*)'", _not_imported),
    (r"No Op registered for (?P<operator>\w+) with domain_version of (?P<opset>\d+)", _other_opset),
    (r"[Ff]ailed to construct locale with name:\s*(?P<locale>[^:]+)", _locale),
    (r"MLDataType for: (?:tensor\()?(?P<kind>\w+)", _datatype),
    (r"Could not find an implementation for (?P<operator>\w+)", _unimplemented),
    (r"External data path does not exist|[Ee]xternal data path validation failed|External data file",
     lambda _: "keeps weights in another file that is not where it should be; put it beside the model, or export the "
               "model as one file"),
    (r"External initializer: .*(out of bounds|can not be read)|offset: .* file_length",
     lambda _: "keeps weights in another file that is shorter than the model says: copy it again, or export the model "
               "again"),
    (r"Missing opset in the model", lambda _: "does not say in which opset it is written, so it is not a valid ONNX "
                                              "graph; export it again"),
    (r"(?:operator|Op|ShapeInferenceError\)) ?\((?P<operator>\w+)\)", _invalid),
    (r"invalid model|Invalid model|ShapeInference|INVALID_GRAPH", _invalid),
)  # fmt: skip
