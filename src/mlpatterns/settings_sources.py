"""Reads settings from their sources: `mlpatterns.toml`, the environment, and files that hold secrets."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mlpatterns.user_errors import SettingsError, UnknownName

__all__ = ["PREFIX", "SETTINGS_FILE", "from_environment", "from_file"]

SETTINGS_FILE = "mlpatterns.toml"
PREFIX = "MLPATTERNS_"
# Variables with the same prefix that are not settings: URLs of services, options of parts, and what `run` passes to its
# workers.
OTHER_VARIABLES = re.compile(r"SERVICE_\w+_URL|WORKER_\w+|TEST_\w+|CHAOS|THRESHOLD_\w+|ACTIVATE_\w+")
# Variables that Kubernetes sets in every container for a Service whose name begins with "mlpatterns", as NAME=VALUE.
KUBERNETES = re.compile(
    r"(\w+_)?(SERVICE_(HOST=.*|PORT(_\w+)?=\d+)|PORT(_\d+_[A-Z]+)?=(tcp|udp|sctp)://.*|PORT_\d+_[A-Z]+_[A-Z]+=.*)"
)


def from_file(path: Path, fields: Collection[str]) -> dict[str, Any]:
    """The values that the file `path` sets; none if there is no such file.

    Args:
        fields: the names of all settings.

    Raises:
        SettingsError: the file cannot be read, or is not TOML.
        UnknownName: the file sets an unknown setting.
    """
    if not path.exists():
        return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{SETTINGS_FILE} cannot be read: {error}") from error
    for name in found:
        if name not in fields:
            raise UnknownName("setting", name, fields, f"({SETTINGS_FILE})")
    return found


def from_environment(environ: Mapping[str, str], fields: Collection[str]) -> dict[str, Any]:
    """The values that variables with the prefix set. The variable ``NAME_FILE`` names a file that holds the value.

    Args:
        fields: the names of all settings.

    Raises:
        SettingsError: a file that holds a value cannot be read, or is empty.
        UnknownName: a variable with the prefix names no setting.
    """
    found: dict[str, Any] = {}
    for variable, value in environ.items():
        own = variable.removeprefix(PREFIX)
        if not variable.startswith(PREFIX) or OTHER_VARIABLES.fullmatch(own) or KUBERNETES.fullmatch(f"{own}={value}"):
            continue
        name = own.lower()
        if name not in fields and name.removesuffix("_file") not in fields:
            raise UnknownName("setting", variable, [PREFIX + f.upper() for f in fields])
        if not value.strip():
            continue  # counts as not given
        if name in fields:
            found[name] = value
        else:
            found[name.removesuffix("_file")] = _secret(variable, value)
    return found


def _secret(variable: str, path: str) -> str:
    try:
        secret = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the file that {variable} names cannot be read") from error
    if not secret:  # ignoring it, like other empty values, would leave the server unprotected
        raise SettingsError(f"the file that {variable} names is empty")
    return secret
