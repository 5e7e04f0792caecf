"""A report's numbers from predictions/ alone, by the plain definitions: what a reader with a pencil would find."""

from __future__ import annotations

import csv
import dataclasses
import json
import random
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import errant
import pytest
import spacy
from tests.evaluate.plain_scores import plain_gleu, plain_sari
from tests.report.made_up_run import METRICS, make_record, make_run, make_trials

from mixwright import report
from mixwright.evaluate.parsing import SPACY_MODELS
from mixwright.evaluate.runner import compare, score_predictions
from mixwright.evaluate.tokenize13a import tokenize_13a
from mixwright.records import BASE, COPY, Prediction, SystemRecord, read_jsonl, to_json, write_text
from mixwright.scenarios import load_scenario

SYSTEMS = (BASE, COPY, "best")
DRAWS = 400
Rows = Sequence[Prediction]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose scores are those of its predictions."""
    path = tmp_path_factory.mktemp("scored")
    make_run(path)
    scenario = load_scenario("writing")
    answers = {name: read_jsonl(path / "predictions" / f"test-{name}.jsonl", Prediction) for name in SYSTEMS}
    systems = tuple(
        SystemRecord(
            name=name,
            scores=score_predictions(scenario, answers[name], "test", draws=DRAWS, seed=0),
            differences=()
            if name == BASE
            else compare(scenario, answers[BASE], answers[name], draws=DRAWS, seed=0, interesting=3.0).differences,
            trial_id="t03" if name == "best" else "",
        )
        for name in SYSTEMS
    )
    record = dataclasses.replace(make_record(make_trials()), systems=systems)
    write_text(path / "result.json", json.dumps(to_json(record)))
    report.build(path)
    return path


def rows_of(folder: Path, system: str, task: str) -> list[Prediction]:
    """Rows of a task as they stand in the file."""
    lines = (folder / "predictions" / f"test-{system}.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return [Prediction(**{**row, "references": tuple(row["references"])}) for row in found if row["task"] == task]


def by_hand(task: str, rows: Rows) -> float:
    metrics: dict[str, Callable[[Rows], float]] = {"sari": sari, "gleu": gleu, "errant_f0.5": f_half}
    return metrics[METRICS[task]](rows)


def sari(rows: Rows) -> float:
    return plain_sari([row.text for row in rows], [row.output for row in rows], [row.references for row in rows], tokenize_13a)


def gleu(rows: Rows) -> float:
    return 100 * plain_gleu(
        [row.text for row in rows], [row.output for row in rows], [row.references[0] for row in rows], tokenize_13a
    )


def f_half(rows: Rows) -> float:
    """F0.5 of the edits that the official annotator finds, each matched by its span and its correction."""
    tp = fp = fn = 0
    for row in rows:
        made, wanted = official_edits(row.text, row.output), official_edits(row.text, row.references[0])
        tp, fp, fn = tp + len(made & wanted), fp + len(made - wanted), fn + len(wanted - made)
    precision = tp / (tp + fp) if fp else 1.0
    recall = tp / (tp + fn) if fn else 1.0
    return 100 * 1.25 * precision * recall / (0.25 * precision + recall) if precision + recall else 0.0


_ANNOTATORS: list[Any] = []


def official_edits(before: str, after: str) -> set[tuple[int, int, str]]:
    if not _ANNOTATORS:
        _ANNOTATORS.append(errant.load("en", spacy.load(next(name for name in SPACY_MODELS if spacy.util.is_package(name)))))
    annotator = _ANNOTATORS[0]
    edits = annotator.annotate(annotator.parse(before, tokenise=True), annotator.parse(after, tokenise=True))
    return {(edit.o_start, edit.o_end, edit.c_str) for edit in edits}


def shown_scores(folder: Path) -> dict[tuple[str, str], str]:
    """Task and column of the table on the page -> the figure that stands there."""
    table = (folder / "report" / "index.html").read_text(encoding="utf-8").split('class="results matrix')[1].split("</table>")[0]
    labels = {"Base": BASE, "Copy of input": COPY, "Best adapter": "best"}
    found = {}
    for line in table.split("<tr class")[1:]:
        task = re.search(r'<th scope="row">([a-z ]+?)(?: <span|</th>)', line)
        assert task
        for label, value in re.findall(r'data-label="([^"]+)"><span class="value">([−\d.]+)', line):
            found[task[1], labels[label]] = value
    return found


def shown_differences(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (folder / "report" / "differences.csv").open(encoding="utf-8", newline="") as file:
        return {(row["task"], row["system"]): row for row in csv.DictReader(file)}


def test_every_score_of_the_table_is_that_of_its_predictions(folder: Path) -> None:
    shown = shown_scores(folder)
    assert len(shown) == len(SYSTEMS) * (len(METRICS) + 1)
    for system in SYSTEMS:
        scores = {task: by_hand(task, rows_of(folder, system, task)) for task in METRICS}
        for task, score in scores.items():
            assert shown[task, system] == f"{score:.1f}", (task, system)
        mean = statistics.fmean(score for task, score in scores.items() if task != "paraphrasing")
        assert shown["mean of seen", system] == f"{mean:.1f}"


def test_every_difference_is_that_of_the_scores(folder: Path) -> None:
    shown = shown_differences(folder)
    assert len(shown) == 2 * (len(METRICS) + 1)
    for system in (COPY, "best"):
        gains = {
            task: by_hand(task, rows_of(folder, system, task)) - by_hand(task, rows_of(folder, BASE, task)) for task in METRICS
        }
        for task, gain in gains.items():
            assert float(shown[task, system]["value"]) == pytest.approx(gain, abs=1e-6)
            assert int(shown[task, system]["n"]) == len(rows_of(folder, system, task))
        seen = statistics.fmean(gain for task, gain in gains.items() if task != "paraphrasing")
        assert float(shown["mean of seen", system]["value"]) == pytest.approx(seen, abs=1e-6)


@pytest.mark.parametrize("task", ["fluency", "clarity"])
def test_intervals_are_those_of_drawing_rows_again_and_again(folder: Path, task: str) -> None:
    """Another generator draws other rows, so the ends agree as far as 400 draws can tell them."""
    shown = shown_differences(folder)[task, "best"]
    pairs = list(zip(rows_of(folder, "best", task), rows_of(folder, BASE, task), strict=True))
    chance = random.Random(5)
    gains = []
    for _ in range(DRAWS):
        drawn = chance.choices(pairs, k=len(pairs))
        gains.append(by_hand(task, [best for best, _ in drawn]) - by_hand(task, [base for _, base in drawn]))
    ends = statistics.quantiles(gains, n=40)
    spread = ends[-1] - ends[0]
    assert float(shown["low"]) == pytest.approx(ends[0], abs=spread / 5)
    assert float(shown["high"]) == pytest.approx(ends[-1], abs=spread / 5)


def test_rows_copied_unchanged_are_counted_from_the_predictions(folder: Path) -> None:
    text = (folder / "report" / "report.md").read_text(encoding="utf-8").split("## Rows handed back unchanged")[1]
    for task in METRICS:
        copied = [sum(row.output.strip() == row.text.strip() for row in rows_of(folder, name, task)) for name in (BASE, "best")]
        right = sum(row.text in row.references for row in rows_of(folder, BASE, task))
        cells = [task, str(len(rows_of(folder, BASE, task))), str(right), *map(str, copied)]
        assert f"| {' | '.join(cells)} |" in text
