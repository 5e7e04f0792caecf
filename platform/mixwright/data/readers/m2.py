"""ERRANT m2: tokenised sentences with the edits of one or more annotators (Bryant et al. 2017).

What comes in: blocks of one `S` line and `A start end|||type|||correction|||required|||comment|||annotator` lines. What
goes out: a row a sentence, whose references are the corrections of the annotators in the order of their numbers; an
annotator who changes nothing (`noop`) gives the sentence itself. A metric that takes the better annotator scores against
those texts. In a folder, each file is a group: a dialogue or an essay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mixwright.config import SourceConfig
from mixwright.data.readers.common import Row, SourceFile, read_lines, source_files
from mixwright.errors import DataError

EDIT_SHAPE = "A START END|||TYPE|||CORRECTION|||REQUIRED|||COMMENT|||ANNOTATOR"


@dataclass(frozen=True, kw_only=True)
class _Edit:
    start: int
    end: int
    correction: tuple[str, ...]


@dataclass
class _Sentence:
    line: int
    tokens: list[str]
    edits: dict[int, list[_Edit]] = field(default_factory=dict)
    """By annotator; an empty list where the annotator changes nothing."""


def rows(source: SourceConfig, root: Path, left_out: Counter[str]) -> Iterator[Row]:
    """A row a sentence, numbered by the line of its `S`.

    Raises:
        DataError: a line of another shape, an edit before a sentence, or one that lies outside of it or overlaps another.
    """
    for file in source_files(source, root, (".m2",)):
        for sentence in _sentences(file.path):
            yield _row(file, sentence)


def _row(file: SourceFile, sentence: _Sentence) -> Row:
    where = f"{file.path}:{sentence.line}"
    corrections = [_corrected(sentence.tokens, sentence.edits[annotator], where) for annotator in sorted(sentence.edits)]
    text = _joined(sentence.tokens)
    return Row(
        place=f"{file.prefix}{sentence.line}",
        text=text,
        references=tuple(corrections) or (text,),
        group=file.prefix.removesuffix(":"),
    )


def _sentences(path: Path) -> Iterator[_Sentence]:
    sentence: _Sentence | None = None
    for number, line in enumerate(read_lines(path), start=1):
        where = f"{path}:{number}"
        if line.startswith("S ") or line == "S":
            if sentence:
                yield sentence
            sentence = _Sentence(line=number, tokens=_tokens(line[2:]))
        elif line.startswith("A "):
            if sentence is None:
                raise DataError(f"{where}: an edit before any sentence; a block opens with an `S` line")
            _add_edit(sentence, line, where)
        elif line.strip():
            raise DataError(f"{where}: must open with `S ` or `A `, got {line[:40]!r}")
    if sentence:
        yield sentence


def _add_edit(sentence: _Sentence, line: str, where: str) -> None:
    parts = line[2:].split("|||")
    try:
        span, kind, correction, _, _, annotator = parts
        start, end = (int(number) for number in span.split())
        edits = sentence.edits.setdefault(int(annotator), [])
    except ValueError:
        raise DataError(f"{where}: must read `{EDIT_SHAPE}`, got {line[:60]!r}") from None
    if kind == "noop":
        return
    if not 0 <= start <= end <= len(sentence.tokens):
        raise DataError(f"{where}: the edit spans {start} to {end}, the sentence has {len(sentence.tokens)} tokens")
    words = () if correction == "-NONE-" else tuple(correction.split("||")[0].split())
    edits.append(_Edit(start=start, end=end, correction=words))


def _corrected(tokens: list[str], edits: list[_Edit], where: str) -> str:
    """The sentence with the edits of one annotator applied, from left to right."""
    words: list[str] = []
    position = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < position:
            raise DataError(f"{where}: edits of one annotator overlap at token {edit.start}; mend or remove the sentence")
        words += [*tokens[position : edit.start], *edit.correction]
        position = edit.end
    return _joined([*words, *tokens[position:]])


def _tokens(sentence: str) -> list[str]:
    """Words between single spaces; a run of more is one blank token, as in the parser that numbered the edits."""
    words = sentence.split(" ")
    return [word for before, word in zip(["x", *words], words, strict=False) if word or before]


def _joined(tokens: list[str]) -> str:
    return " ".join(token for token in tokens if token)
