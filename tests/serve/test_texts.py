"""Pieces of text add up to the text of the whole answer, whatever spans tokens and however they arrive."""

from __future__ import annotations

import random

import pytest
from serve.texts import TextOfTokens, UpToStop, first_stop
from transformers import AutoTokenizer

TEXT = "Añejo 🦜🏳️‍🌈 naïve — 日本語 e\u0301."
WHOLE = "one\ntwo###three"


def pieces_of(tokenizer, ids, sizes):
    text = TextOfTokens(lambda some: tokenizer.decode(some, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    found, place = [], 0
    for size in sizes:
        found.append(text.add(ids[place : place + size]))
        place += size
    return [*found, text.rest()]


@pytest.mark.parametrize("seed", range(4))
def test_characters_that_span_tokens_are_told_whole(tiny_model, seed):
    """The tiny model's tokens are bytes, so most of these characters are several of them."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ids = tokenizer(TEXT)["input_ids"]
    assert len(ids) > len(TEXT)
    draw = random.Random(seed)
    sizes = [1] * len(ids) if not seed else [draw.randint(1, 5) for _ in ids]
    pieces = pieces_of(tokenizer, ids, sizes)
    assert "".join(pieces) == TEXT
    assert not any("�" in piece for piece in pieces)


def test_a_character_that_is_cut_is_told_at_the_end_as_the_whole_answer_tells_it(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ids = tokenizer("ab🦜")["input_ids"][:-1]
    pieces = pieces_of(tokenizer, ids, [1] * len(ids))
    assert "".join(pieces) == tokenizer.decode(ids)
    assert pieces[:-1] == ["a", "b", "", "", ""]


@pytest.mark.parametrize("size", [1, 2, 3, 50])
@pytest.mark.parametrize(
    ("stops", "kept"),
    [((), WHOLE), (("###",), "one\ntwo"), (("\n\n", "##x"), WHOLE), (("e##", "o#"), "one\ntw"), (("#t", "##"), "one\ntwo")],
)
def test_a_stop_that_spans_pieces_is_never_told_and_nothing_else_is_lost(stops, kept, size):
    text = WHOLE
    cut = UpToStop(stops)
    told = "".join(cut.add(text[place : place + size]) for place in range(0, len(text), size)) + cut.rest()
    assert told == kept
    assert cut.stopped == (kept != text)


def test_the_stop_that_is_complete_first_counts():
    assert first_stop("abcd", ("abcd", "bc")) == 1
    assert first_stop("abcd", ("x",)) is None
