from __future__ import annotations

import random

import pytest

from mixwright.evaluate.alignment import align
from mixwright.evaluate.parsing import annotator, parse

WORDS = [
    *("the", "old", "ferry", "crosses", "crossed", "cross", "a", "wide", "wider", "river", "The", "River", "harbour", "harbours"),
    *("at", "noon", "and", "and", "again", "near", "dusk", "dusk", ",", ".", "quick", "quickly", "is", "was", "be", "been"),
    *("to", "walk", "walks", "walking", "on", "in", "of", "'s", "n't", "do"),
]


def _damaged(rng: random.Random, words: list[str]) -> list[str]:
    words = list(words)
    for _ in range(rng.randrange(0, 7)):
        at = rng.randrange(len(words))
        kind = rng.randrange(5)
        if kind == 0:
            words[at : at + 4] = rng.sample(words[at : at + 4], len(words[at : at + 4]))
        elif kind == 1 and len(words) > 1:
            del words[at]
        elif kind == 2:
            words.insert(at, rng.choice(words))
        elif kind == 3:
            words[at] = words[at].swapcase()
        else:
            words[at] = rng.choice(WORDS)
    return words


@pytest.mark.parametrize("seed", range(6))
def test_alignment_equals_errants(seed: int) -> None:
    rng = random.Random(seed)
    originals = [rng.choices(WORDS, k=rng.randrange(1, 22)) for _ in range(60)]
    changed = [_damaged(rng, words) if rng.random() < 0.8 else rng.choices(WORDS, k=8) for words in originals]
    sources = parse(map(" ".join, originals), tokenized=True)
    corrected = parse(map(" ".join, changed), tokenized=True)
    for source, target in zip(sources, corrected, strict=True):
        assert align(source, target).align_seq == annotator().align(source.doc, target.doc).align_seq


@pytest.mark.parametrize(("source", "corrected"), [("", ""), ("", "a b"), ("a b", ""), ("a b", "a b"), ("a", "b a")])
def test_empty_and_equal_texts_align_as_errants(source: str, corrected: str) -> None:
    left, right = parse([source, corrected], tokenized=True)
    assert align(left, right).align_seq == annotator().align(left.doc, right.doc).align_seq
