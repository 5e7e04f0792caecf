"""SARI and GLEU written straight from their definitions, one sentence and one n-gram at a time: slow, and easy to check.

They are what our scorers are held against, in tests and in `benchmarks/metrics.py`. A text is tokenised once and its n-grams
counted once, as the published scorers do; what those scripts compute without using it is left out.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from statistics import fmean, pstdev

Grams = Counter[tuple[str, ...]]
Tokenizer = Callable[[str], Sequence[str]]

_RULES_13A = (
    (re.compile(r"([!-&(-+/:-@\[-`{-~])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def tokenize_13a_by_line(text: str) -> list[str]:
    """mteval-v13a's rules, one after the other over the whole line."""
    line = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        line = line.replace(entity, character)
    line = f" {line} "
    for pattern, replacement in _RULES_13A:
        line = pattern.sub(replacement, line)
    return line.split()


def grams(tokens: Sequence[str], order: int) -> Grams:
    return Counter([tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1)])


def plain_sari(sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]], tokenize: Tokenizer) -> float:
    """SARI over a corpus, 0 to 100: for each operation and order, F1 of what the output did against what the references did.

    Whether a text is added counts once for an n-gram; what is kept or deleted counts as often as it stands, weighed by the
    share of references that keep or delete it.
    """
    right, done, wanted = Counter[tuple[str, int]](), Counter[tuple[str, int]](), Counter[tuple[str, int]]()
    for source, output, texts in zip(sources, outputs, references, strict=True):
        source_tokens, output_tokens = tokenize(source.lower()), tokenize(output.lower())
        reference_tokens = [tokenize(text.lower()) for text in texts]
        for order in range(1, 5):
            s, o = _times(grams(source_tokens, order), len(texts)), _times(grams(output_tokens, order), len(texts))
            r: Grams = Counter()
            for tokens in reference_tokens:
                r.update(grams(tokens, order))
            added, to_add = o.keys() - s.keys(), r.keys() - s.keys()
            right["add", order] += len(added & to_add)
            done["add", order] += len(added)
            wanted["add", order] += len(to_add)
            for name, does, should in (("keep", s & o, s & r), ("delete", s - o, s - r)):
                right[name, order] += (does & should).total()
                done[name, order] += does.total()
                wanted[name, order] += should.total()
    return 100 * fmean(_f1(right[key], done[key], wanted[key]) for key in done)


def _times(counts: Grams, factor: int) -> Grams:
    return Counter({gram: factor * count for gram, count in counts.items()})


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


def plain_official_gleu(
    sources: Sequence[str], outputs: Sequence[str], references: Sequence[Sequence[str]], draws: int
) -> tuple[float, float]:
    """Mean and standard deviation, 0 to 1, of GLEU over seeded choices of one reference a row; tokens as they stand.

    Row by row and draw by draw, as the official script does; it too counts a row against each of its references only once.
    """
    choices = []
    for draw in range(draws):
        generator = random.Random(101 * draw)
        choices.append([generator.randint(0, len(texts) - 1) for texts in references])
    totals = [[0] * 10 for _ in range(draws)]
    for row, (source, output, texts) in enumerate(zip(sources, outputs, references, strict=True)):
        source_grams = [grams(source.split(), order) for order in range(1, 5)]
        output_grams = [grams(output.split(), order) for order in range(1, 5)]
        of_references: dict[int, list[int]] = {}
        for draw in range(draws):
            number = choices[draw][row]
            if number not in of_references:
                of_references[number] = _gleu_counts(source_grams, output_grams, texts[number].split())
            totals[draw] = [sum(column) for column in zip(totals[draw], of_references[number], strict=True)]
    scores = [_gleu_of(total) for total in totals]
    return fmean(scores), pstdev(scores)


def _gleu_counts(source: Sequence[Grams], output: Sequence[Grams], reference: Sequence[str]) -> list[int]:
    """Lengths of output and reference, then matches and n-grams of each order."""
    counts = [output[0].total(), len(reference)]
    for order, (s, o) in enumerate(zip(source, output, strict=True), start=1):
        r = grams(reference, order)
        unchanged = Counter({gram: count for gram, count in s.items() if gram not in r})
        counts += [max(0, (o & r).total() - (o & unchanged).total()), o.total()]
    return counts


def _gleu_of(counts: Sequence[int]) -> float:
    if 0 in counts:
        return 0.0
    log_precision = sum(math.log(matches / total) for matches, total in zip(counts[2::2], counts[3::2], strict=True)) / 4
    return math.exp(min(0.0, 1 - counts[1] / counts[0]) + log_precision)
