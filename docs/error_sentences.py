"""The sentences of errors as the source has them, with `…` for what is put in: `python -m docs.error_sentences`.

That command prints each sentence of docs/troubleshooting.md that the source does not have, and the one that is nearest.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import cache
from heapq import nlargest
from pathlib import Path

import mlpatterns

__all__ = ["PAGE", "lost", "nearest", "on_page", "sentences"]

PAGE = Path(__file__).with_name("troubleshooting.md")
HOLE = "…"
ENTRY = re.compile(r"^- (`+)(.*?)\1:", re.MULTILINE)


@cache
def sentences() -> frozenset[str]:
    """Every text of the source that may be a sentence, or a part of one."""
    root = Path(mlpatterns.__file__).parent
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in root.rglob("*.py"))
    return frozenset(text for tree in trees for text in _texts(tree) if " " in text)


def on_page(page: str) -> list[str]:
    """The sentences that a page explains: what stands in code at the beginning of its entries."""
    return [sentence for _, sentence in ENTRY.findall(page)]


def lost(page: str) -> list[str]:
    """The sentences of a page that the source does not have."""
    return [sentence for sentence in on_page(page) if not _is_said(sentence)]


def nearest(sentence: str) -> str:
    """The text of the source that is spelt most like `sentence`."""
    matchers = [(SequenceMatcher(None, sentence, text, autojunk=False), text) for text in sentences()]
    likely = nlargest(50, matchers, key=lambda pair: pair[0].quick_ratio())  # by their letters, which is quick
    return max(likely, key=lambda pair: pair[0].ratio())[1]


def _is_said(sentence: str) -> bool:
    """Whether a text of the source is `sentence`; `…` at its end stands for any rest."""
    known, wanted = _in_order(), _plain(sentence)
    begun = wanted.removesuffix(HOLE).rstrip()
    place = bisect_left(known, begun)
    return place < len(known) and (known[place].startswith(begun) if wanted.endswith(HOLE) else known[place] == wanted)


@cache
def _in_order() -> list[str]:
    return sorted(map(_plain, sentences()))


def _plain(text: str) -> str:
    """A text with one hole where there are several in a row, and without quotes around holes."""
    return re.sub(rf"{HOLE}+", HOLE, re.sub(rf"['\"]({HOLE})['\"]", r"\1", text)).strip()


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
            yield _text(node)


def _text(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) if isinstance(part, ast.Constant) else HOLE for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
    return HOLE


if __name__ == "__main__":
    for sentence in lost(PAGE.read_text(encoding="utf-8")):
        print(f"{sentence}\n    {nearest(sentence)}")  # noqa: T201 - this is its output
