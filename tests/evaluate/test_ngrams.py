from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from plain_scores import grams

from mixwright.evaluate import ngrams
from mixwright.evaluate.ngrams import ngram_tables, token_ids


def _layers(seed: int) -> list[list[str]]:
    rng = random.Random(seed)
    return [[" ".join(rng.choices("abcde", k=rng.randrange(0, 9))) for _ in range(6)] for _ in range(4)]


def _counted(layers: list[list[str]], groups: list[int]) -> list[list[tuple[int, tuple[int, ...]]]]:
    """By order: the row and the counts by group of each different n-gram of each row, sorted."""
    found = []
    for table in ngram_tables(token_ids(layers, lambda word: (word,)), groups):
        found.append(sorted(zip(table.row.tolist(), map(tuple, table.counts.T.tolist()), strict=True)))
    return found


def _counted_plainly(layers: list[list[str]], groups: list[int]) -> list[list[tuple[int, tuple[int, ...]]]]:
    found = []
    for order in range(1, 5):
        cells = []
        for row in range(len(layers[0])):
            by_group = [Counter[tuple[str, ...]]() for _ in range(max(groups) + 1)]
            for layer, group in zip(layers, groups, strict=True):
                by_group[group].update(grams(layer[row].split(), order))
            different = set().union(*by_group)
            cells += [(row, tuple(counts[gram] for counts in by_group)) for gram in different]
        found.append(sorted(cells))
    return found


@pytest.mark.parametrize("groups", [[0, 1, 2, 3], [0, 1, 2, 2]])
@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_counting_one_text_at_a_time(seed: int, groups: list[int]) -> None:
    layers = _layers(seed)
    assert _counted(layers, groups) == _counted_plainly(layers, groups)


def test_numbers_too_wide_for_one_word_are_sorted_all_the_same() -> None:
    rng = np.random.default_rng(3)
    columns = [rng.integers(0, 1 << 40, 50), rng.integers(0, 2, 50), rng.integers(0, 1 << 40, 50)]
    columns[0][:20] = 7
    ordered = [column.tolist() for column in ngrams._in_order(columns)]
    assert list(zip(*ordered, strict=True)) == sorted(zip(*(column.tolist() for column in columns), strict=True))


def test_texts_without_a_token_have_no_ngrams() -> None:
    for table in ngram_tables(token_ids([["", " "], ["", ""]], lambda word: (word,)), [0, 1]):
        assert table.counts.shape == (2, 0)
        assert table.row_sums(np.empty(0)).tolist() == [0, 0]
