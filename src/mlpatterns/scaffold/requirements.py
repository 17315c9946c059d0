"""The requirement of a project on mlpatterns and its extras, derived from the imports of its app."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution, packages_distributions, requires
from importlib.metadata import version as installed_version
from urllib.parse import unquote, urlsplit

from mlpatterns.scaffold.names import normalized_name
from mlpatterns.user_errors import UserError

__all__ = ["installed_from", "requirement", "version"]

EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")
COLLECTIONS = {"all", "demo", "dev", "test"}  # extras that only combine others


def version() -> str:
    """The lowest version of mlpatterns that a project accepts: this version without its patch number."""
    return ".".join(installed_version("mlpatterns").split(".")[:2])


def installed_from() -> str:
    """The source of mlpatterns for pip: the folder or wheel from which it was installed (PEP 610), else its name."""
    url = json.loads(distribution("mlpatterns").read_text("direct_url.json") or "{}").get("url", "")
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" else "mlpatterns"


def requirement(modules: Iterable[str]) -> str:
    """The requirement of a project with these imports: mlpatterns with the extras that provide them.

    Raises:
        UserError: mlpatterns does not provide an imported module.
    """
    extras = sorted({extra for module in modules for extra in _extra(module)})
    return f"mlpatterns{'[' + ','.join(extras) + ']' if extras else ''}>={version()}"


def _extra(module: str) -> Iterator[str]:
    """Yields the extra that provides `module`; nothing if the module is always installed."""
    if module in sys.stdlib_module_names or module == "mlpatterns":
        return
    makers = {normalized_name(maker) for maker in packages_distributions().get(module, ())}
    needs = [need for need in requires("mlpatterns") or () if normalized_name(need) in makers]
    if any("extra" not in need for need in needs):
        return
    extras = {extra for need in needs for extra in EXTRA.findall(need)} - COLLECTIONS
    if not extras:
        raise UserError(f"the app imports {module}, which mlpatterns does not install; start from another pattern")
    yield min(extras)
