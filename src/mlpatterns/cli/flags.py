"""Flags become settings, for this process and for those that it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mlpatterns.settings import PREFIX, Settings, load_settings

__all__ = ["apply_flags"]


def apply_flags(flags: Mapping[str, Any]) -> Settings:
    """The settings with these flags (None: not given), which from now on are in the environment too: there the app,
    worker processes and `build()` read them.

    Raises:
        SettingsError: a value is not right.
    """
    settings = load_settings(flags).settings
    for name, value in flags.items():
        if value is not None:
            variable = f"{PREFIX}{name.upper()}"
            os.environ.pop(f"{variable}_FILE", None)  # a flag wins over a mounted secret, as over all else
            os.environ[variable] = str(value).lower() if isinstance(value, bool) else str(value)
    return settings
