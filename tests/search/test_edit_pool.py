from __future__ import annotations

import pytest

from mixwright.evaluate import parsing
from mixwright.evaluate.parsing import Pair
from mixwright.search.edit_pool import _shares, parallel_edits


def test_pairs_of_one_source_share_a_task_and_none_is_lost() -> None:
    pairs: list[Pair] = [(f"source {number % 7}", f"text {number}" * (1 + number % 3)) for number in range(40)]
    shares = _shares(pairs, 4)
    assert sorted(number for share in shares for number in share) == list(range(40))
    assert 1 < len(shares) <= 4
    places = [{place for place, share in enumerate(shares) for number in share if number % 7 == source} for source in range(7)]
    assert all(len(found) == 1 for found in places)


def test_without_ray_the_process_works_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    parsing.shared_extractor.cache_clear()
    pair = ("He walk .", "He walks .")
    with parallel_edits(tokenized=True, from_pairs=1):
        assert parsing.shared_extractor(tokenized=True).edits([pair])[0][0].type == "R:VERB:SVA"
