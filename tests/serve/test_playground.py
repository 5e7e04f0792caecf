"""The playground's routes: its files as they are, and what the page is told of the endpoint."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from serve import playground
from serve.engine import Answerer
from serve.front import Front, LocalBackend, make_app

from mixwright.config import SweepConfig
from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.echo import CharacterTokenizer, EchoEngine
from mixwright.report import page as report_page
from mixwright.scenarios import load_scenario

SCENARIO = load_scenario("writing")


def client(run_dir: str = "", adapters: tuple[str, ...] = ("best",)) -> TestClient:
    loss = ResponseLoss(nll=0.0, tokens=1)
    answerer = Answerer(
        engine=EchoEngine(adapters), tokenizer=CharacterTokenizer(), context_length=2000, score=lambda rows, adapter: loss
    )
    return TestClient(make_app(LocalBackend(answerer), Front(model="m", adapters=adapters, scenario=SCENARIO, run_dir=run_dir)))


@pytest.mark.parametrize(("path", "kind"), [("/", "text/html"), ("/web/app.js", "text/javascript"), ("/web/style.css", "text/css")])
def test_files_go_out_as_they_are_and_once_while_they_stay_the_same(path: str, kind: str) -> None:
    first = client().get(path)
    assert first.headers["content-type"].startswith(kind)
    assert first.content == (playground.WEB / (Path(path).name or "index.html")).read_bytes()
    assert first.headers["cache-control"] == "no-cache"
    again = client().get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client().get(path, headers={"If-None-Match": '"another"'}).status_code == 200


def test_every_file_of_the_folder_is_offered_and_nothing_else() -> None:
    assert {path.name for path in playground.WEB.iterdir()} == set(playground.CONTENT_TYPES)
    for path in ("/web/", "/web/other.js", "/web/../front.py", "/web/%2e%2e/front.py", "/web//etc/passwd"):
        assert client().get(path).status_code == 404


def test_nothing_stands_inline_and_nothing_is_asked_of_others() -> None:
    page = (playground.WEB / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page) == []
    for name in playground.CONTENT_TYPES:
        text = (playground.WEB / name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"^\s*//.*|\s// .*", "", text, flags=re.MULTILINE), name
        assert "innerHTML" not in text, name


def test_its_colours_and_type_are_the_reports() -> None:
    report = (Path(report_page.__file__).parent / "style.css").read_text()
    variables = report[: report.index("* { box-sizing")]
    assert (playground.WEB / "style.css").read_text().startswith(variables)


def test_the_scenario_names_tasks_adapters_and_no_samples_without_a_run() -> None:
    card = client(adapters=("best", "trial_0001")).get("/v1/scenario").json()
    assert (card["name"], card["model"], card["adapters"]) == ("writing", "m", ["base", "best", "trial_0001"])
    assert [task["name"] for task in card["tasks"] if not task["seen"]] == ["paraphrasing"]
    assert card["tasks"][0] == {
        "name": "grammaticality",
        "seen": True,
        "metric": "errant_f0.5",
        "instruction": SCENARIO.tasks[0].instructions.train[0],
        "samples": [],
    }


def write_run(folder: Path, **config: object) -> Path:
    (folder / "config.yaml").write_text(json.dumps(SweepConfig.model_validate({"name": "run", **config}).model_dump(mode="json")))
    return folder


def test_samples_are_the_runs_dev_rows_and_are_not_waited_for_where_they_are_not_asked(tmp_path: Path) -> None:
    asked = client(str(write_run(tmp_path)))
    assert {len(task["samples"]) for task in asked.get("/v1/scenario?samples=false").json()["tasks"]} == {0}
    tasks = asked.get("/v1/scenario").json()["tasks"]
    assert {len(set(task["samples"])) for task in tasks} == {playground.SAMPLES}
    (tmp_path / "config.yaml").unlink()  # they are read once
    assert asked.get("/v1/scenario").json()["tasks"] == tasks


def test_a_run_whose_data_is_elsewhere_has_no_samples_and_still_answers(tmp_path: Path) -> None:
    source = {"name": "mine", "format": "jsonl", "path": "gone.jsonl", "task": "clarity"}
    run = write_run(tmp_path, data={"root": str(tmp_path), "sources": [source]})
    answer = client(str(run)).get("/v1/scenario")
    assert answer.status_code == 200
    assert {len(task["samples"]) for task in answer.json()["tasks"]} == {0}
