"""What stands beside F0.5: precision, recall, over-correction and error types, from the edits that were scored."""

from __future__ import annotations

import pytest

from mixwright.evaluate.details import describe
from mixwright.evaluate.edits import EditF
from mixwright.evaluate.runner import score_predictions
from mixwright.records import Prediction
from mixwright.scenarios import Instructions, Scenario, Task

SCENARIO = Scenario(
    name="made_up",
    tasks=(Task(name="grammar", metric="errant_f0.5", instructions=Instructions(train=("Mend.",), evaluation=("Fix.",))),),
)
ROWS = [
    ("She have a red kite .", "She has a red kite .", "She has a red kite ."),
    ("The dogs is late .", "The dogs is late .", "The dogs are late ."),
    ("All is well here .", "All are well here .", "All is well here ."),
    ("Rain fell all night .", "Rain fell all night .", "Rain fell all night ."),
]


def predictions(rows):
    return [
        Prediction(
            example_id=f"r:{number}",
            task="grammar",
            system="best",
            instruction="Fix.",
            text=text,
            output=output,
            references=(right,),
        )
        for number, (text, output, right) in enumerate(rows)
    ]


def test_edits_are_reported_beside_their_score():
    pytest.importorskip("errant")
    (score,) = score_predictions(SCENARIO, predictions(ROWS), "test", draws=100, seed=0)
    assert score.details == {"precision": 50.0, "recall": 50.0, "over_correction": 50.0}
    assert score.value == pytest.approx(50.0)
    counts = [sum(types[kind] for types in score.error_types.values()) for kind in ("tp", "fp", "fn")]
    assert counts == [1, 1, 1]
    assert score.error_types["R:VERB:SVA"]["tp"] == 1


def test_over_correction_is_not_stated_where_every_row_needed_an_edit():
    pytest.importorskip("errant")
    (score,) = score_predictions(SCENARIO, predictions(ROWS[:2]), "test", draws=100, seed=0)
    assert score.details == {"precision": 100.0, "recall": 50.0}


def test_details_are_found_without_parsing_again():
    pytest.importorskip("errant")
    from mixwright.evaluate.parsing import shared_extractor

    texts, outputs, references = zip(*[(text, output, (right,)) for text, output, right in ROWS], strict=True)
    statistics = EditF().statistics(texts, outputs, references)
    parsed = shared_extractor(tokenized=False).parsed_texts
    assert describe(EditF(), statistics, texts, outputs, references).values["recall"] == 50.0
    assert shared_extractor(tokenized=False).parsed_texts == parsed
