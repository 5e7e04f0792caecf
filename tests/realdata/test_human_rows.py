"""The human row on public sets: people agree with one another better than the unedited input agrees with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mixwright.config import SourceConfig
from mixwright.data.readers import read
from mixwright.evaluate.human import human_scores
from mixwright.evaluate.runner import score_predictions
from mixwright.records import COPY, Prediction
from mixwright.scenarios import load_scenario

DATA = Path(os.environ.get("MIXWRIGHT_DATA", Path(__file__).parents[3] / "shared" / "data"))
SETS = {
    "fluency": ("jfleg/dev.src", tuple(f"jfleg/dev.ref{number}" for number in range(4))),
    "simplification": ("asset/asset.valid.orig", tuple(f"asset/asset.valid.simp.{number}" for number in range(10))),
}

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not (DATA / "jfleg").is_dir(), reason=f"{DATA / 'jfleg'} is not there; set MIXWRIGHT_DATA"),
]


@pytest.mark.parametrize("task", SETS)
def test_people_score_above_the_copy(task: str) -> None:
    path, references = SETS[task]
    rows = read(SourceConfig(name=task, format="parallel", path=path, references=references, task=task), DATA).examples[:400]
    copied = [
        Prediction(
            example_id=row.id, task=task, system=COPY, instruction="", text=row.text, output=row.text, references=row.references
        )
        for row in rows
    ]
    writing = load_scenario("writing")
    (human,) = human_scores(writing, copied, "dev", draws=200, seed=0)
    (copy,) = score_predictions(writing, copied, "dev", draws=200, seed=0)
    assert human.n == copy.n == len(rows)
    assert human.low > copy.high
