"""What names and labels of the model DB may be: text that three databases, a path and a terminal show alike.

PostgreSQL stores no NUL, MariaDB ignores spaces at the end when it compares, and a terminal obeys control characters.
"""

from __future__ import annotations

import re
from unicodedata import category

from mlpatterns.references import NAME

__all__ = ["fault_of_label", "fault_of_name", "fault_of_text"]

CONTROLS = frozenset({"Cc", "Zl", "Zp"})  # of Unicode: control characters, and those that separate lines or paragraphs
SURROGATE = "Cs"  # half a character, which cannot be encoded


def fault_of_label(text: str) -> str:
    """Why text cannot be a label (the name of a project or deployment, a tag's value), as the end of a sentence that
    begins with what it is; or nothing."""
    if text != text.strip():
        return "begins or ends with a space; leave it out"
    kinds = {category(character) for character in text}
    if kinds & CONTROLS:
        return "has a control character; use letters, digits, signs and spaces"
    return "has half a character; send UTF-8" if SURROGATE in kinds else ""


def fault_of_name(text: str) -> str:
    """As `fault_of_label`, of the name of a model or alias, or the key of a tag: what a reference can name."""
    if re.fullmatch(NAME, text):
        return ""
    return "is letters, digits, '_', '-' and '.', begins with a letter or digit, and has 128 characters at most"


def fault_of_text(text: str) -> str:
    """As `fault_of_label`, of a description: lines and tabs may stand in it."""
    if "\0" in text:
        return "has a NUL character; leave it out"
    return "has half a character; send UTF-8" if any(category(character) == SURROGATE for character in text) else ""
