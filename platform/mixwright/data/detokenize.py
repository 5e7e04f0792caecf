"""Tokenised text -> text as people write it: the one detokenisation policy.

What comes in: a sentence in any state between plain and Penn-Treebank tokens (`do n't`, ` ,`, `( x )`, `'' x ''`, `-LRB-`).
What goes out: the same words with the spaces where a writer would put them. The policy is applied to texts and references
alike, so that a model never learns to move spaces about, and metrics score detokenised text, which each metric splits again
by its own official rule.

The policy touches only tokens that stand between spaces and that a writer would not set so:

    , ; : ! ? .      join what stands before; not `3 : 16`, not spaced dots (`. . .`), not the ellipsis `...`
    %                joins a number before it
    $ £ €            join a number after them
    n't 's 're ...   join the word before; `gon na`, `wan na`, `got ta` become one word
    ( ) [ ] { }      join what they enclose, where both are there; `-LRB-` and its kin become brackets
    " `` ''          become `"`, and opening and closing ones join what they enclose
    ' `              join as quotes; a single `'` after a word in -s joins it as a possessive
    U.S. .           the second dot is a tokeniser's own and goes

What is ambiguous stays: ` - ` and ` / ` (dash or hyphen), `can not` (both spellings are right), `1 , 000` becomes `1, 000`.
Runs of blanks become one space, line by line. Text that is clean already comes back unchanged.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

_PTB_BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"}
_PTB_BRACKET = re.compile("|".join(_PTB_BRACKETS))
_CLOSING_OF = {"(": ")", "[": "]", "{": "}"}
_OPENING_OF = {closing: opening for opening, closing in _CLOSING_OF.items()}
_PTB_QUOTE = re.compile(r"^(?:``|'')(?=[,;:.!?)]*$)")
_CLOSING_QUOTE = re.compile(r'"[,;:.!?)]*')
_PUNCTUATION = re.compile(r"[,;:.]|[!?]+")
_CONTRACTION = re.compile(r"n['’]t|['’](?:s|re|ve|ll|d|m)", re.IGNORECASE)
_INFORMAL = {"gon": "na", "wan": "na", "got": "ta"}
_ABBREVIATION = re.compile(r"(?:\w\.){2,}|(?:etc|Inc|Ltd|Jr|Sr|Co|Corp|Bros)\.")
_TOUCHED = re.compile(
    r"-[LR][RSC]B-|(?:^|\s)(?:[,;:.%$£€()\[\]{}\"'’‘“”`]|[!?]+|(?:``|'')[,;:.!?)]*|\"[,;:.!?)]+|n['’]t|['’](?:s|re|ve|ll|d|m)|na|ta)(?=\s|$)",
    re.IGNORECASE,
)


def detokenize(text: str) -> str:
    """The text with its spaces as people write them; applied twice it gives the same as once. Empty text stays empty."""
    return "\n".join(_settled(line) for line in text.split("\n"))


def _settled(line: str) -> str:
    """Passes until nothing changes: a join can complete a token that only the next pass can see, as in `'' x '' .`."""
    while (passed := _detokenize_line(line)) != line:
        line = passed
    return line


@dataclass
class _Token:
    text: str
    join_left: bool = False
    join_right: bool = False


def _detokenize_line(line: str) -> str:
    words = line.split()
    if not _TOUCHED.search(line):
        return " ".join(words)
    tokens = [_Token(word) for word in _PTB_BRACKET.sub(lambda match: _PTB_BRACKETS[match[0]], " ".join(words)).split(" ")]
    for rule in (_join_quotes, _join_apostrophes, _join_brackets, _join_punctuation, _join_words, _drop_second_dot):
        rule(tokens)
    return _joined(tokens)


def _joined(tokens: list[_Token]) -> str:
    parts: list[str] = []
    glue = True
    for token in tokens:
        if not token.text:
            continue
        if not (glue or token.join_left):
            parts.append(" ")
        parts.append(token.text)
        glue = token.join_right
    return "".join(parts)


def _join_quotes(tokens: list[_Token]) -> None:
    """Pairs double quotes; an opening one without a partner stays where it is."""
    for token in tokens:
        token.text = _PTB_QUOTE.sub('"', token.text)
    last = max((position for position, token in enumerate(tokens) if '"' in token.text), default=-1)
    is_open = False
    for position, token in enumerate(tokens):
        if is_open and _CLOSING_QUOTE.fullmatch(token.text):
            token.join_left, is_open = True, False
        elif token.text != '"':
            is_open ^= token.text.count('"') % 2 == 1
        elif position < last:
            token.join_right, is_open = True, True
    for token in tokens:
        token.join_left |= token.text == "”"
        token.join_right |= token.text in ("“", "‘")


def _join_apostrophes(tokens: list[_Token]) -> None:
    """Pairs single quotes; where their number is odd, the first one after a word in -s is a possessive."""
    lone = [position for position, token in enumerate(tokens) if token.text in ("'", "`", "’")]
    if len(lone) % 2 == 1:
        possessive = next((position for position in lone if position and tokens[position - 1].text[-1:] in ("s", "S")), None)
        if possessive is None:
            return
        tokens[possessive].join_left = True
        lone.remove(possessive)
    for opening, closing in zip(lone[::2], lone[1::2], strict=True):
        if tokens[opening].text == "`":
            tokens[opening].text = "'"
        tokens[opening].join_right = tokens[closing].join_left = True


def _join_brackets(tokens: list[_Token]) -> None:
    """Joins brackets to what they enclose, where the other one of the pair is there, lone or not."""
    open_positions: dict[str, list[int]] = {opening: [] for opening in _CLOSING_OF}
    for position, token in enumerate(tokens):
        for character in token.text:
            if character in open_positions:
                open_positions[character].append(position)
            elif character in _OPENING_OF and open_positions[_OPENING_OF[character]]:
                opening = tokens[open_positions[_OPENING_OF[character]].pop()]
                opening.join_right |= opening.text in _CLOSING_OF
                token.join_left |= token.text in _OPENING_OF


def _join_punctuation(tokens: list[_Token]) -> None:
    edge = _Token("")
    for before, token, after in zip([edge, *tokens], tokens, [*tokens[1:], edge], strict=False):
        if token.text == "%":
            token.join_left |= before.text[-1:].isdigit()
        elif token.text in ("$", "£", "€"):
            token.join_right |= after.text[:1].isdigit()
        elif _PUNCTUATION.fullmatch(token.text):
            token.join_left |= not _stands_alone(before, token.text, after)


def _stands_alone(before: _Token, mark: str, after: _Token) -> bool:
    is_ratio = mark == ":" and before.text[-1:].isdigit() and after.text[:1].isdigit()
    is_smiley = mark in ":;" and after.text in ("(", ")") and not (after.join_left or after.join_right)
    are_spaced_dots = mark == "." and "." in (before.text, after.text)
    follows_unpaired_quote = before.text in ("'", '"', "`") and not (before.join_left or before.join_right)
    return is_ratio or is_smiley or are_spaced_dots or follows_unpaired_quote


def _join_words(tokens: list[_Token]) -> None:
    for before, token in itertools.pairwise(tokens):
        is_informal = _INFORMAL.get(before.text.lower()) == token.text.lower()
        token.join_left |= is_informal or bool(_CONTRACTION.fullmatch(token.text))


def _drop_second_dot(tokens: list[_Token]) -> None:
    """Treebank tokens end `... in the U.S.` with the abbreviation and one more dot."""
    for before, token in itertools.pairwise(tokens):
        if token.text == "." and token.join_left and _ABBREVIATION.fullmatch(before.text):
            token.text = ""
