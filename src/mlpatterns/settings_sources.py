"""Where settings are written: `mlpatterns.toml`, the environment, and files that hold secrets."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mlpatterns.errors import SettingsError, UnknownName

__all__ = ["PREFIX", "SETTINGS_FILE", "from_environment", "from_file"]

SETTINGS_FILE = "mlpatterns.toml"
PREFIX = "MLPATTERNS_"
# Variables of the same prefix that are not fields: one service's address each, and what `run` tells its own workers.
OTHER_VARIABLES = re.compile(r"SERVICE_\w+_URL|WORKER_\w+|TEST_\w+|CHAOS|THRESHOLD_\w+|ACTIVATE_\w+")
# What Kubernetes tells every container of a Service whose name begins with "mlpatterns", as NAME=VALUE.
KUBERNETES = re.compile(
    r"(\w+_)?(SERVICE_(HOST=.*|PORT(_\w+)?=\d+)|PORT(_\d+_[A-Z]+)?=(tcp|udp|sctp)://.*|PORT_\d+_[A-Z]+_[A-Z]+=.*)"
)


def from_file(path: Path, fields: Collection[str]) -> dict[str, Any]:
    """What `path` sets, of `fields`; nothing where there is no such file.

    Raises:
        SettingsError: it cannot be read.
        UnknownName: it sets something else.
    """
    if not path.exists():
        return {}
    try:
        found = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{SETTINGS_FILE} cannot be read: {error}") from error
    for name in found:
        if name not in fields:
            raise UnknownName("setting", name, fields, f"({SETTINGS_FILE})")
    return found


def from_environment(environ: Mapping[str, str], fields: Collection[str]) -> dict[str, Any]:
    """What the variables of our prefix set, of `fields`; ``NAME_FILE`` names a file that holds the value.

    Raises:
        SettingsError: such a file cannot be read, or is empty.
        UnknownName: one sets something else.
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
            continue  # as if not set
        if name in fields:
            found[name] = value
        else:
            found[name.removesuffix("_file")] = _secret(variable, value)
    return found


def _secret(variable: str, path: str) -> str:
    try:
        secret = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the file that {variable} names cannot be read") from error
    if not secret:  # as if not set, it would open what it is to close
        raise SettingsError(f"the file that {variable} names is empty")
    return secret
