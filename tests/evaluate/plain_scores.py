"""SARI and GLEU written straight from their definitions, one sentence and one n-gram at a time: slow, and easy to check."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

Grams = Counter[tuple[str, ...]]
Tokenizer = Callable[[str], Sequence[str]]


def grams(tokens: Sequence[str], order: int) -> Grams:
    return Counter(tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1))


def plain_sari(sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]], tokenize: Tokenizer) -> float:
    """SARI over a corpus: for each operation and order, F1 of what the output did against what the references did.

    Whether a text is added counts once for an n-gram; what is kept or deleted counts as often as it stands, weighed by the
    share of references that keep or delete it.
    """
    by_order: list[float] = []
    for order in range(1, 5):
        right, done, wanted = Counter[str](), Counter[str](), Counter[str]()
        for source, output, texts in zip(sources, outputs, references, strict=True):
            s, o = grams(tokenize(source.lower()), order), grams(tokenize(output.lower()), order)
            in_references = [grams(tokenize(text.lower()), order) for text in texts]
            _add_operations(s, o, in_references, right, done, wanted)
        by_order.extend(_f1(right[name], done[name], wanted[name]) for name in ("add", "keep", "delete"))
    return 100 * sum(by_order) / len(by_order)


def _add_operations(
    s: Grams, o: Grams, in_references: list[Grams], right: Counter[str], done: Counter[str], wanted: Counter[str]
) -> None:
    r = Counter[tuple[str, ...]]()
    for one in in_references:
        r.update(one)
    for gram in set(s) | set(o) | set(r):
        copies_in_source = len(in_references) * s[gram]
        keeps, should_keep = min(copies_in_source, len(in_references) * o[gram]), min(copies_in_source, r[gram])
        _count("keep", keeps, should_keep, right, done, wanted)
        _count("delete", copies_in_source - keeps, copies_in_source - should_keep, right, done, wanted)
        if not s[gram]:
            _count("add", int(o[gram] > 0), int(r[gram] > 0), right, done, wanted)


def _count(name: str, does: int, should: int, right: Counter[str], done: Counter[str], wanted: Counter[str]) -> None:
    right[name] += min(does, should)
    done[name] += does
    wanted[name] += should


def _f1(right: int, done: int, wanted: int) -> float:
    precision = right / done if done else 0.0
    recall = right / wanted if wanted else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def plain_gleu(sources: Sequence[str], outputs: Sequence[str], references: Sequence[str], tokenize: Tokenizer) -> float:
    """GLEU over a corpus with one reference a row, 0 to 1."""
    output_length = sum(len(tokenize(output)) for output in outputs)
    reference_length = sum(len(tokenize(reference)) for reference in references)
    log_precision = 0.0
    for order in range(1, 5):
        matches, total = 0, 0
        for source, output, reference in zip(sources, outputs, references, strict=True):
            s, o, r = (grams(tokenize(text), order) for text in (source, output, reference))
            penalty = sum(min(o[gram], s[gram]) for gram in o if gram not in r)
            matches += max(0, sum(min(o[gram], r[gram]) for gram in o) - penalty)
            total += o.total()
        if not matches:
            return 0.0
        log_precision += math.log(Fraction(matches, total)) / 4
    return math.exp(min(0.0, 1 - reference_length / output_length) + log_precision)


def every_choice(references: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Every way to choose one reference a row."""
    return itertools.product(*references)
