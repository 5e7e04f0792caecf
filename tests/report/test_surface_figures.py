"""The answer of a search on its page: the sentences on top, a picture an objective, and what each key matters."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.report.made_up_run import make_run
from tests.search.surface.made_up_trials import AXES, FRACTION, SPACE, make_trial, make_trials

from mixwright import report
from mixwright.records import Answer, RunRecord, TrialRecord, from_json, to_json, write_jsonl
from mixwright.report.run_folder import read_run_folder
from mixwright.report.surface import surface_figures
from mixwright.search.surface.answer import Stakes, answer

STAKES = Stakes(margins={"seen": 3.0, "unseen": 3.0}, rows=16)


def write(folder: Path, trials: list[TrialRecord], found: Answer | None) -> Path:
    make_run(folder)
    write_jsonl(folder / "trials.jsonl", trials)
    run = from_json(RunRecord, json.loads((folder / "result.json").read_text(encoding="utf-8")))
    best = {**run.best, "trial_id": trials[0].trial_id, "params": trials[0].params}
    run = dataclasses.replace(run, answer=found, best=best, pareto=())
    (folder / "result.json").write_text(json.dumps(to_json(run)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trials = make_trials(24, 0.7)
    return write(tmp_path_factory.mktemp("answered"), trials, answer(trials, SPACE, STAKES))


def section(folder: Path) -> str:
    html = report.build(folder).read_text(encoding="utf-8")
    return html.split('<section id="answer">')[1].split("</section>")[0]


def test_the_sentences_stand_on_top_on_the_page_and_in_markdown(folder: Path) -> None:
    shown = section(folder)
    found = read_run_folder(folder).run.answer
    assert found is not None
    places = [shown.index(sentence) for sentence in found.sentences]
    assert places == sorted(places)
    assert places[-1] < shown.index("<figure")
    markdown = (folder / "report" / "report.md").read_text(encoding="utf-8")
    assert "## What the search says" in markdown
    assert "as good as anything tried" in markdown


def test_every_objective_has_a_picture_with_its_trials_and_lines(folder: Path) -> None:
    figures = surface_figures(read_run_folder(folder))
    assert [item.answer.objective for item in figures] == ["seen", "unseen"]
    for item in figures:
        root = ElementTree.fromstring(str(item.figure))
        kinds = [node.get("class") or "" for node in root.iter()]
        grid = item.answer.grid
        assert grid is not None
        assert sum(kind.startswith("cell") for kind in kinds) == len(grid.x) * len(grid.y)
        assert kinds.count("contour") > 10
        assert sum(kind.startswith("mark complete") for kind in kinds) == 24


def test_the_highest_cell_has_the_darkest_colour(folder: Path) -> None:
    item = surface_figures(read_run_folder(folder))[0]
    grid = item.answer.grid
    assert grid is not None
    cells = re.findall(r'<rect[^>]*class="cell q(\d)"', str(item.figure))
    values = [value for row in grid.mean for value in row]
    assert len(cells) == len(values)
    assert cells[values.index(max(values))] == "5"
    assert cells[values.index(min(values))] == "0"


def test_bars_stand_in_order_of_importance(folder: Path) -> None:
    shares = [bar.share for bar in surface_figures(read_run_folder(folder))[0].importances]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == len(AXES)


def test_what_is_not_sure_is_hatched(tmp_path: Path) -> None:
    trials = make_trials(6, 5.0)
    unsure = surface_figures(read_run_folder(write(tmp_path, trials, answer(trials, SPACE, STAKES))))[0]
    assert unsure.hatched
    assert 'class="unsure"' in str(unsure.figure)


def test_one_key_is_drawn_as_a_curve_with_its_band(tmp_path: Path) -> None:
    seen = {t.number: t.rungs[0].objectives.seen for t in make_trials(10, 0.7)}
    trials = [make_trial(t.number, {FRACTION: t.params[FRACTION]}, seen[t.number], None, 0.7) for t in make_trials(10, 0.7)]
    found = answer(trials, {FRACTION: SPACE[FRACTION]}, STAKES)
    drawn = str(surface_figures(read_run_folder(write(tmp_path, trials, found)))[0].figure)
    assert 'class="band"' in drawn
    assert 'class="expected"' in drawn
    assert drawn.count("mark complete") == 10


def test_categories_alone_are_told_without_a_picture(tmp_path: Path) -> None:
    key = "prompt.template"
    trials = [make_trial(t.number, {key: t.params[key]}, t.rungs[0].objectives.seen, None, 0.7) for t in make_trials(10, 0.7)]
    shown = section(write(tmp_path, trials, answer(trials, {key: SPACE[key]}, STAKES)))
    assert "<figure" not in shown
    assert "template" in shown


def test_a_run_without_an_answer_has_no_such_section(tmp_path: Path) -> None:
    make_run(tmp_path)
    assert 'id="answer"' not in report.build(tmp_path).read_text(encoding="utf-8")


def test_confirmed_candidates_stand_with_their_fresh_scores_and_are_no_trials(tmp_path: Path) -> None:
    trials = make_trials(6, 0.7)
    fresh = [
        dataclasses.replace(make_trial(i, trials[0].params, seen, None, 0.7), trial_id=f"confirm_0000_{i}", confirms="trial_0000")
        for i, seen in enumerate((41.0, 44.0))
    ]
    shown = section(write(tmp_path, [*trials, *fresh], answer(trials, SPACE, STAKES)))
    assert "Confirmed on fresh seeds" in shown
    assert "41.0, 44.0" in shown
    assert "<td>42.5</td>" in shown
    assert len(read_run_folder(tmp_path).trials) == 6
