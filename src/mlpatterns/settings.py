"""Reads the settings. Flags override the environment, which overrides `mlpatterns.toml`, which overrides the
defaults.

A setting has one name everywhere: ``port`` in the file, ``MLPATTERNS_PORT`` in the environment, ``--port`` as a flag.
``MLPATTERNS_API_KEYS_FILE=/run/secrets/keys`` reads `api_keys` from a file, such as a mounted secret. An empty value
counts as not given.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import UNSET, Struct

from mlpatterns.redaction import redact
from mlpatterns.settings_fields import Settings, cpus, sqlite_url
from mlpatterns.settings_sources import PREFIX, SETTINGS_FILE, from_environment, from_file
from mlpatterns.settings_values import SECRET, check_origin, converted
from mlpatterns.user_errors import SettingsError

__all__ = [
    "PREFIX", "RESET", "SETTINGS_FILE", "LoadedSettings", "Settings", "cpus", "load_settings", "of_part",
    "reset_by", "service_url", "sqlite_url",
]  # fmt: skip

RESET = f"{PREFIX}WORKER_RESET_SHARED"


class LoadedSettings(Struct, frozen=True):
    """The settings and their sources.

    Attributes:
        settings: all settings.
        sources: the source of each setting that is not a default: the file's name, ``"environment"`` or ``"flag"``.
    """

    settings: Settings
    sources: dict[str, str]

    def redacted(self) -> dict[str, tuple[str, str]]:
        """The value and the source of each setting, by its name. Secrets are masked."""
        rows = {}
        for name in Settings.__struct_fields__:
            value = getattr(self.settings, name)
            shown = "(set)" if name in SECRET and value else redact(str(value))
            rows[name] = (shown, self.sources.get(name, "default"))
        return rows


def load_settings(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> LoadedSettings:
    """Reads the settings of this process.

    Args:
        flags: values by the name of the setting, which override all others; None counts as not given.
        environ: the environment variables. (default: those of this process)
        folder: the folder of `mlpatterns.toml`. (default: the working directory)

    Raises:
        SettingsError: a value is malformed, or a file cannot be read.
        UnknownName: the file or the environment sets an unknown setting.
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
    """The URL of the service `name`, as MLPATTERNS_SERVICE_<NAME>_URL gives it; None if it runs in this process."""
    return of_part("SERVICE", name, "_URL", environ=environ)


def of_part(kind: str, name: str, suffix: str = "", *, environ: Mapping[str, str] | None = None) -> str | None:
    """The variable MLPATTERNS_<KIND>_<NAME><suffix>, which configures the part `name` of a system; None if not set.

    In the name of the variable, characters that are neither letters A to Z nor digits become ``_``.
    """
    environ = os.environ if environ is None else environ
    return environ.get(f"{PREFIX}{kind}_{re.sub(r'[^A-Z0-9]', '_', name.upper())}{suffix}") or None


def reset_by(environ: Mapping[str, str] | None = None) -> str | None:
    """The id of the `run --reset-shared` that started this process, or None."""
    return (os.environ if environ is None else environ).get(RESET) or None


def _checked(settings: Settings) -> Settings:
    for origin in settings.cors_origins:
        check_origin(origin)
    if "*" in settings.cors_origins and len(settings.cors_origins) > 1:
        raise SettingsError("cors_origins: * allows every origin; remove the others")
    if settings.admin_token and settings.admin_token in settings.api_keys.values():
        raise SettingsError("admin_token must differ from all api_keys, or the holder of that key could send commands")
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise SettingsError("tls_certificate and tls_key belong together: set both or neither")
    return settings
