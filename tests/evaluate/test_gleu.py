from __future__ import annotations

import random

import numpy as np
import pytest
from plain_scores import every_choice, plain_gleu, plain_official_gleu

from mixwright.evaluate.gleu import Gleu, official_gleu
from mixwright.evaluate.metric import score

WORDS = ["the", "old", "ferry", "crosses", "a", "wide", "grey", "river", "at", "noon", "and", "again", "near", "dusk"]


def _noisy(rng: random.Random, words: list[str], rate: float) -> list[str]:
    return [rng.choice(WORDS) if rng.random() < rate else word for word in words if rng.random() > rate / 3]


def _random_rows(seed: int, rows: int, references: int) -> tuple[list[str], list[str], list[list[str]]]:
    """Sentences of some 12 words; source, output and references are noisy copies of one another."""
    rng = random.Random(seed)
    clean = [rng.choices(WORDS, k=rng.randrange(9, 16)) for _ in range(rows)]

    def copies(rate: float) -> list[str]:
        return [" ".join(_noisy(rng, words, rate)) for words in clean]

    by_reference = [copies(0.1) for _ in range(references)]
    return copies(0.3), copies(0.15), [list(texts) for texts in zip(*by_reference, strict=True)]


@pytest.mark.parametrize("seed", range(5))
def test_gleu_with_one_reference_equals_its_plain_definition(seed: int) -> None:
    sources, outputs, references = _random_rows(seed, rows=20, references=1)
    expected = plain_gleu(sources, outputs, [texts[0] for texts in references], str.split)
    assert score(Gleu(tokens="as_is"), sources, outputs, references) == pytest.approx(100 * expected, abs=1e-9)
    assert official_gleu(sources, outputs, references, draws=1).mean == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("references", [1, 2, 3, 4, 5])
def test_official_gleu_equals_its_plain_definition_draw_by_draw(references: int) -> None:
    rows = _random_rows(references, rows=12, references=references)
    ours = official_gleu(*rows, draws=40)
    assert (ours.mean, ours.std) == pytest.approx(plain_official_gleu(*rows, draws=40), abs=1e-12)


def test_official_gleu_draws_as_the_script_where_rows_have_different_numbers_of_references() -> None:
    sources, outputs, references = _random_rows(4, rows=12, references=4)
    uneven = [texts[: 1 + row % 4] for row, texts in enumerate(references)]
    ours = official_gleu(sources, outputs, uneven, draws=40)
    assert (ours.mean, ours.std) == pytest.approx(plain_official_gleu(sources, outputs, uneven, draws=40), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_expected_gleu_is_the_mean_over_every_choice_of_references(seed: int) -> None:
    sources, outputs, references = _random_rows(seed, rows=9, references=2)
    scores = [plain_gleu(sources, outputs, choice, str.split) for choice in every_choice(references)]
    assert len(scores) == 2**9
    expected = 100 * float(np.mean(scores))
    assert score(Gleu(tokens="as_is"), sources, outputs, references) == pytest.approx(expected, abs=0.1)


def test_expected_gleu_is_steadier_than_the_official_draws() -> None:
    sources, outputs, references = _random_rows(9, rows=60, references=3)
    many = official_gleu(sources, outputs, references, draws=5_000)
    expected = score(Gleu(tokens="as_is"), sources, outputs, references) / 100
    assert expected == pytest.approx(many.mean, abs=4 * many.std / 5_000**0.5)


def test_official_draws_are_seeded_and_spread() -> None:
    rows = _random_rows(2, rows=30, references=3)
    first = official_gleu(*rows, draws=50)
    assert first == official_gleu(*rows, draws=50)
    assert first.std > 0


def test_equal_references_leave_nothing_to_chance() -> None:
    sources, outputs, references = _random_rows(3, rows=10, references=1)
    one = score(Gleu(), sources, outputs, references)
    three = score(Gleu(), sources, outputs, [texts * 3 for texts in references])
    assert three == pytest.approx(one, abs=1e-9)
    assert official_gleu(sources, outputs, [texts * 3 for texts in references], draws=5).std == 0


def test_short_outputs_pay_the_brevity_penalty() -> None:
    reference = ["the old ferry crosses a wide grey river at noon"]
    long_enough = score(Gleu(), ["x"], reference, [reference])
    cut = score(Gleu(), ["x"], ["the old ferry crosses a wide"], [reference])
    assert long_enough == pytest.approx(100)
    assert cut == pytest.approx(100 * np.exp(1 - 10 / 6))


def test_text_left_wrong_costs_more_than_text_made_wrong() -> None:
    reference = [["she walks to the old ferry at noon"]]
    kept_error = score(Gleu(), ["she walk to the old ferry at noon"], ["she walk to the old ferry at noon"], reference)
    new_error = score(Gleu(), ["she walk to the old ferry at noon"], ["she walked to the old ferry at noon"], reference)
    assert kept_error < new_error


def test_text_as_written_is_cut_at_punctuation_unless_tokens_are_given() -> None:
    sources, outputs, references = ["so it go, on and on."], ["so it goes , on and on ."], [["so it goes, on and on."]]
    assert score(Gleu(), sources, outputs, references) == pytest.approx(100)
    assert score(Gleu(tokens="as_is"), sources, outputs, references) < 100
