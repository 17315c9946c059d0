"""Settings: defaults < mlpatterns.toml < environment < flags.

``MLPATTERNS_PORT=9000`` sets `port`; ``MLPATTERNS_API_KEYS_FILE=/run/secrets/keys`` reads `api_keys` from a mounted
secret. A field is spelt the same everywhere: ``port`` in the file, ``MLPATTERNS_PORT``, ``--port``. A value that is
empty is as if not given.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import UNSET, Struct

from mlpatterns.errors import SettingsError
from mlpatterns.redaction import redact
from mlpatterns.settings_fields import Settings, cpus
from mlpatterns.settings_sources import PREFIX, SETTINGS_FILE, from_environment, from_file
from mlpatterns.settings_values import SECRET, check_origin, converted

__all__ = [
    "PREFIX", "RESET", "SETTINGS_FILE", "LoadedSettings", "Settings", "cpus", "load_settings", "of_part",
    "reset_by", "service_url",
]  # fmt: skip

RESET = f"{PREFIX}WORKER_RESET_SHARED"


class LoadedSettings(Struct, frozen=True):
    """The settings, and where each that is not a default came from."""

    settings: Settings
    sources: dict[str, str]

    def redacted(self) -> dict[str, tuple[str, str]]:
        """Field -> (value fit to be shown, source)."""
        rows = {}
        for name in Settings.__struct_fields__:
            value = getattr(self.settings, name)
            shown = "(set)" if name in SECRET and value else redact(str(value))
            rows[name] = (shown, self.sources.get(name, "default"))
        return rows


def load_settings(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> LoadedSettings:
    """Reads the settings of this process; a flag of None counts as not given.

    Args:
        flags: values by field, which hold over all others.
        environ: by default the environment of this process.
        folder: of `mlpatterns.toml`; by default the working directory.

    Raises:
        SettingsError: a value is malformed, or a file cannot be read.
        UnknownName: the file has a field that does not exist.
    """
    environ = os.environ if environ is None else environ
    fields = Settings.__struct_fields__
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, found in (
        (SETTINGS_FILE, from_file((folder or Path()) / SETTINGS_FILE, fields)),
        ("environment", from_environment(environ, fields)),
        ("flag", {name: value for name, value in (flags or {}).items() if value is not None}),
    ):
        for name, value in found.items():
            given = converted(name, value, source)
            if given is not UNSET:
                values[name] = given
                sources[name] = source
    return LoadedSettings(_checked(Settings(**values)), sources)


def service_url(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """The address that MLPATTERNS_SERVICE_<NAME>_URL gives to the service `name`, if it runs elsewhere."""
    return of_part("SERVICE", name, "_URL", environ=environ)


def of_part(kind: str, name: str, suffix: str = "", *, environ: Mapping[str, str] | None = None) -> str | None:
    """What the variable MLPATTERNS_<KIND>_<NAME> says of the part `name` of a system, or None."""
    environ = os.environ if environ is None else environ
    return environ.get(f"{PREFIX}{kind}_{re.sub(r'[^A-Z0-9]', '_', name.upper())}{suffix}") or None


def reset_by(environ: Mapping[str, str] | None = None) -> str | None:
    """The `run --reset-shared` that this process belongs to, or None."""
    return (os.environ if environ is None else environ).get(RESET) or None


def _checked(settings: Settings) -> Settings:
    for origin in settings.cors_origins:
        check_origin(origin)
    if "*" in settings.cors_origins and len(settings.cors_origins) > 1:
        raise SettingsError("cors_origins: * stands for every site; leave the others out")
    if settings.admin_token and settings.admin_token in settings.api_keys.values():
        raise SettingsError("admin_token must not be one of the api_keys, or its holder could give commands")
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise SettingsError("tls_certificate and tls_key go together: set both or neither")
    return settings
