"""Two texts side by side: how much they share, and the words in which they differ.

What comes in: plain text, whoever wrote it. What goes out: a share in common, and safe HTML with <ins> and <del>.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from markupsafe import Markup, escape
from rapidfuzz.distance import LCSseq

_WORD = re.compile(r"\s*(?:\w+(?:['’]\w+)*|[^\w\s])")
_LEAST_SHARED = 0.25
"""Below this share of words in common a word-by-word marking is noise, and the text is shown plain."""


def similarity(one: str, other: str) -> float:
    """Words and punctuation marks that two texts share in order, over all of theirs: 2 x longest common subsequence / (a + b).

    From 0 to 1, which is also what two empty texts have.
    """
    first, second = words(one), words(other)
    total = len(first) + len(second)
    return 2 * LCSseq.similarity(first, second) / total if total else 1.0


@lru_cache(maxsize=4096)
def words(text: str) -> tuple[str, ...]:
    """Words as written, and each punctuation mark by itself."""
    return tuple(piece.strip() for piece in _WORD.findall(text))


def is_other_text(before: str, after: str) -> bool:
    """Whether so little is left of `before` that the difference cannot be read word by word."""
    return bool(before) and similarity(before, after) < _LEAST_SHARED


def marked(before: str, after: str) -> Markup:
    """`after` as safe HTML, with words that `before` lacks in <ins> and words of `before` that are gone in <del>.

    Where the two share too little to be read word by word, `after` stands without marks.
    """
    if not before or is_other_text(before, after):
        return escape(after)
    return Markup("").join(_marked_pieces(_WORD.findall(before), _WORD.findall(after)))


def _marked_pieces(before: Sequence[str], after: Sequence[str]) -> Iterator[Markup]:
    matcher = difflib.SequenceMatcher(None, [piece.strip() for piece in before], [piece.strip() for piece in after], autojunk=False)
    for operation, i1, i2, j1, j2 in matcher.get_opcodes():
        if operation == "equal":
            yield escape("".join(after[j1:j2]))
            continue
        yield _wrapped("del", "".join(before[i1:i2]))
        yield _wrapped("ins", "".join(after[j1:j2]))


def _wrapped(tag: str, text: str) -> Markup:
    """Leading white space stays outside, so that lines of the mark do not hang over the gap between words."""
    written = text.lstrip()
    return (
        Markup("{gap}<{tag}>{written}</{tag}>").format(gap=text[: len(text) - len(written)], tag=Markup(tag), written=written)
        if written
        else Markup("")
    )
