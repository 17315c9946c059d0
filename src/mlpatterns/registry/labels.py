"""The rules for names and labels of the model DB: text that three databases, a path and a terminal treat alike.

PostgreSQL cannot store NUL, MariaDB ignores trailing spaces in comparisons, and a terminal interprets control
characters.
"""

from __future__ import annotations

import re
from unicodedata import category

from mlpatterns.references import NAME

__all__ = ["fault_of_label", "fault_of_name", "fault_of_text"]

CONTROLS = frozenset({"Cc", "Zl", "Zp"})  # Unicode categories: controls, and separators of lines and paragraphs
SURROGATE = "Cs"  # the Unicode category of lone surrogates, which cannot be encoded


def fault_of_label(text: str) -> str:
    """Why `text` is not valid as a label (the name of a project or deployment, or the value of a tag); empty if it is
    valid. The result completes a sentence whose subject is the label."""
    if text != text.strip():
        return "begins or ends with a space; leave it out"
    kinds = {category(character) for character in text}
    if kinds & CONTROLS:
        return "has a control character; use letters, digits, signs and spaces"
    return "has half a character; send UTF-8" if SURROGATE in kinds else ""


def fault_of_name(text: str) -> str:
    """Like `fault_of_label`, for names that a reference can contain: of models, of aliases, and the keys of tags."""
    if re.fullmatch(NAME, text):
        return ""
    return "is letters, digits, '_', '-' and '.', begins with a letter or digit, and has 128 characters at most"


def fault_of_text(text: str) -> str:
    """Like `fault_of_label`, for a description, which may contain line breaks and tabs."""
    if "\0" in text:
        return "has a NUL character; leave it out"
    return "has half a character; send UTF-8" if any(category(character) == SURROGATE for character in text) else ""
