"""Configures ONNX Runtime for a model: providers, session options, custom operator libraries."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from msgspec import Struct

from mlpatterns.models.onnx.memory import Arena, without_arena
from mlpatterns.registry.digests import digest
from mlpatterns.settings import Settings
from mlpatterns.user_errors import ModelFileError, NoModelFile, SettingsError

__all__ = ["SessionConfig", "apply", "provider_names"]

log = logging.getLogger("mlpatterns")

SUFFIX = "ExecutionProvider"
QUIET = 4  # ONNX Runtime writes only "fatal" messages to standard error; its errors appear in this project's log
TRUTH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
# The prefixes of the keys of a session's configuration (onnxruntime_session_options_config_keys.h).
FAMILIES = ("session.", "optimization.", "ep.", "mlas.", "memory.")


class SessionConfig(Struct, frozen=True):
    """The configuration of ONNX Runtime for a model.

    Attributes:
        providers: ONNX Runtime's execution providers, preferred first, as short names (``cuda``) or full names; if
            empty, the CPU.
        session: options of a session by name, and entries of its configuration by key.
        custom_ops: the paths of custom operator libraries.
        threads: the number of ONNX Runtime's own threads; None means this worker's share of the CPUs.
        arena: whether the memory of a run is kept; None means that the setting `arena` decides.

    Raises:
        SettingsError: `arena` is unknown.
    """

    providers: tuple[str, ...] = ()
    session: Mapping[str, str] = {}
    custom_ops: tuple[str, ...] = ()
    threads: int | None = None
    arena: Arena | None = None

    def __post_init__(self) -> None:
        if self.arena not in (None, *get_args(Arena)):
            raise SettingsError(f"the arena {self.arena!r} is unknown; give {' or '.join(get_args(Arena))}")

    def within(self, settings: Settings) -> SessionConfig:
        """This configuration, completed with the settings. Its own values override those of the settings."""
        libraries = tuple(dict.fromkeys((*settings.custom_ops, *self.custom_ops)))
        session = {**settings.session, **self.session}
        return SessionConfig(self.providers or settings.provider, session, libraries, self.threads,
                       self.arena or settings.arena)  # fmt: skip

    def identity(self, sha256: str) -> str:
        """The identity of a model with this configuration. It is made of the digests of the model and of the operator
        libraries, because both decide the answers.

        Args:
            sha256: the digest of the model.

        Raises:
            ModelFileError: a library cannot be read.
        """
        if not self.custom_ops:
            return sha256
        lines = [sha256, *(digest(_library(path)) for path in self.custom_ops)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def provider_names(asked: Sequence[str]) -> list[str]:
    """The full names of the requested providers that this installation has.

    Raises:
        SettingsError: a provider is unknown, or the first one is not available.
    """
    from onnxruntime import get_all_providers, get_available_providers

    here = get_available_providers()
    known = {_short(name): name for name in (*get_all_providers(), *here)}
    names = []
    for each in asked or ("cpu",):
        name = known.get(_short(each))
        if name is None:
            raise SettingsError(f"there is no provider {each!r}; this installation of ONNX Runtime has {_list(here)}")
        names.append(name)
    if names[0] not in here:
        raise SettingsError(f"the provider {_short(names[0])} is not in this installation of ONNX Runtime, which has "
                            f"{_list(here)}; install the onnxruntime that has it, or choose another")  # fmt: skip
    if missing := [name for name in names if name not in here]:
        log.warning("this installation of ONNX Runtime has no provider %s; continuing without it", _list(missing))
    return [name for name in names if name in here]


def apply(running: SessionConfig, options: Any) -> None:
    """Applies the arena, the options and the libraries of a configuration to ONNX Runtime's SessionOptions.

    Raises:
        SettingsError: an option is unknown, or does not accept the value.
        ModelFileError: a custom operator library is missing or cannot be loaded.
    """
    if running.arena == "off":
        without_arena(options)
    for key, value in running.session.items():
        _set(options, key.strip(), str(value).strip())
    for path in running.custom_ops:
        _register(options, path)


def _set(options: Any, key: str, value: str) -> None:
    take = _ATTRIBUTES.get(key)
    if take is None and not key.startswith(FAMILIES):
        near = get_close_matches(key, _ATTRIBUTES, 1, 0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(_ATTRIBUTES)}, session.NAME"
        raise SettingsError(f"there is no session option {key!r}; {hint}")
    try:
        if take is None:
            options.add_session_config_entry(key, value)
        else:
            setattr(options, key, take(value))
    except Exception as error:
        raise SettingsError(f"the session option {key} does not take {value!r}{_choices(take)}") from error


def _register(options: Any, path: str) -> None:
    library = _library(path)
    try:
        options.register_custom_ops_library(str(library))
    except Exception as error:
        log.warning("ONNX Runtime does not load %s: %s", library.name, " ".join(str(error).split()))
        raise ModelFileError(f"{library.name} is not a library of operators that this ONNX Runtime can load; take the "
                             "one for this system and this version of ONNX Runtime") from error  # fmt: skip


def _library(path: str) -> Path:
    """The absolute path of a library. The operating system would search for a bare name in its library folders."""
    library = Path(path)
    if not library.is_file():
        raise NoModelFile(f"there is no library of operators {path}; give the path of its .so, .dylib or .dll")
    return library.resolve()


# ---- names and values ------------------------------------------------------------------------------------------------


def _short(name: str) -> str:
    return name.strip().lower().removesuffix(SUFFIX.lower())


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(_short, names))


def _number(value: str) -> int:
    if not 0 <= (number := int(value)) < 2**31:
        raise ValueError(value)
    return number


def _truth(value: str) -> bool:
    return TRUTH[value.lower()]


def _level(value: str) -> Any:
    from onnxruntime import GraphOptimizationLevel as Level

    number = {"0": "disable_all", "1": "basic", "2": "extended", "3": "layout", "99": "all"}
    word = number.get(value, value.lower().removeprefix("ort_")).removeprefix("enable_")
    return getattr(Level, "ORT_DISABLE_ALL" if word in ("disable", "disable_all") else f"ORT_ENABLE_{word.upper()}")


def _mode(value: str) -> Any:
    from onnxruntime import ExecutionMode

    word = {"0": "sequential", "1": "parallel"}.get(value, value.lower().removeprefix("ort_"))
    return getattr(ExecutionMode, f"ORT_{word.upper()}")


_ATTRIBUTES: Mapping[str, Callable[[str], Any]] = {
    "intra_op_num_threads": _number,
    "inter_op_num_threads": _number,
    "graph_optimization_level": _level,
    "execution_mode": _mode,
    "enable_mem_pattern": _truth,
    "enable_mem_reuse": _truth,
    "enable_cpu_mem_arena": _truth,
    "use_deterministic_compute": _truth,
    "log_severity_level": _number,
    "log_verbosity_level": _number,
}


def _choices(take: Callable[[str], Any] | None) -> str:
    """The end of an error text, which lists the values that an option accepts."""
    taken = {_number: "a whole number", _truth: "true or false", _mode: "sequential or parallel",
             _level: "disable, basic, extended or all"}  # fmt: skip
    return f": it takes {taken[take]}" if take in taken else ""
