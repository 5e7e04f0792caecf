"""Tokenisation by the rules of mteval-v13a, which SARI and BLEU scores are published with.

What comes in: a text as written. What goes out: its tokens. The rules are those that sacrebleu calls `13a`; they are few
enough to stand here, so that a score does not hang on the version of another package. They look at neighbouring characters
alone and treat white space as they treat a letter, so a text is cut word by word, and every different word once.
"""

from __future__ import annotations

import functools
import re
import string

_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_ALWAYS_APART = re.compile("([" + re.escape("".join(sorted(set(string.punctuation) - set("',-.")))) + "])")
_APART_AT_AN_END = frozenset(string.punctuation) - set("'-")
_AFTER_NON_DIGIT = re.compile(r"([^0-9])([.,])")
_BEFORE_NON_DIGIT = re.compile(r"([.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile(r"([0-9])(-)")


def tokenize_13a(text: str) -> list[str]:
    """The 13a tokens of a text: ASCII punctuation stands alone, except apostrophes, dashes, and points or commas inside numbers.

    Only the characters 0 to 9 count as digits, and letters keep their case. An empty text has no tokens.
    """
    return [token for word in one_line(text).split() for token in word_tokens_13a(word)]


def one_line(text: str) -> str:
    """The text without line breaks; a word that a hyphen divides at one is joined again."""
    return text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")


@functools.lru_cache(maxsize=1 << 18)
def word_tokens_13a(word: str) -> tuple[str, ...]:
    """The tokens of what stands between two white spaces; no rule looks beyond."""
    # Most words need no rule, or have one mark before or behind them.
    if word.isalnum() or word.replace("-", "").replace("'", "").isalpha():
        return (word,)
    if word[-1] in _APART_AT_AN_END and word[:-1].isalnum():
        return word[:-1], word[-1]
    if word[0] in _APART_AT_AN_END and word[1:].isalnum():
        return word[0], word[1:]
    line = word
    for entity, character in _ENTITIES:
        line = line.replace(entity, character)
    line = _ALWAYS_APART.sub(r" \1 ", f" {line} ")
    line = _AFTER_NON_DIGIT.sub(r"\1 \2 ", line)
    line = _BEFORE_NON_DIGIT.sub(r" \1 \2", line)
    line = _DASH_AFTER_DIGIT.sub(r"\1 \2 ", line)
    return tuple(line.split())


def word_as_is(word: str) -> tuple[str, ...]:
    """A word of text that is tokenised already is a token."""
    return (word,)
