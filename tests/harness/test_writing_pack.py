"""The task pack for lm-evaluation-harness: every task of the scenario, and our own numbers from the harness's own run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml
from serve.engine import Answerer
from serve.front import Front, LocalBackend, make_app
from tests.harness.lm_eval_run import lm_eval, needs_lm_eval
from tests.serve.running import running

from mixwright.config import DataConfig, SourceConfig
from mixwright.data.prepare import prepare
from mixwright.evaluate.client import EndpointClient
from mixwright.evaluate.export import exported_rows
from mixwright.evaluate.retention import ResponseLoss
from mixwright.evaluate.runner import evaluation_rows
from mixwright.evaluate.systems import Questions, evaluate_systems
from mixwright.generate.echo import CharacterTokenizer, EchoEngine
from mixwright.records import write_jsonl
from mixwright.scenarios import load_scenario

ROOT = Path(__file__).parent.parent.parent
PACK = ROOT / "harness" / "writing"
SCENARIO = load_scenario("writing")
LIMIT = 70


class PackLoader(yaml.SafeLoader):
    """Leaves `!function` as the name that it holds."""


PackLoader.add_constructor("!function", lambda loader, node: node.value)


def pack():
    """Content of every YAML file of the pack."""
    return [yaml.load(path.read_text(encoding="utf-8"), PackLoader) for path in sorted(PACK.glob("*.yaml"))]


def test_the_pack_has_each_task_of_the_scenario_with_its_metric():
    tasks = {file["dataset_kwargs"]["task"]: file for file in pack() if "dataset_kwargs" in file}
    assert {name: file["metric_list"][0]["metric"] for name, file in tasks.items()} == {
        task.name: task.metric for task in SCENARIO.tasks
    }
    assert {name: file["task"] for name, file in tasks.items()} == {name: f"mixwright_writing_{name}" for name in tasks}


def test_the_groups_are_the_scenarios_seen_and_unseen_tasks():
    groups = {file["group"]: file for file in pack() if "group" in file}
    for kind in ("seen", "unseen"):
        assert groups[f"mixwright_writing_{kind}"]["task"] == [f"mixwright_writing_{name}" for name in getattr(SCENARIO, kind)]
    assert groups["mixwright_writing"]["task"] == ["mixwright_writing_seen", "mixwright_writing_unseen"]


class Blunderer(EchoEngine):
    """An echo whose adapter drops every `a`, says a paragraph more, and runs into the limit on long texts."""

    def _answer(self, request):
        answer = super()._answer(request)
        if request.adapter == "base":
            return answer
        text = answer.text.removeprefix("best: ").replace("a", "") + "\n\nThat is better."
        return answer.__class__(text=text[: request.max_new_tokens], tokens=len(text), ended=len(text) < request.max_new_tokens)


def nothing_lost(rows, adapter):
    return ResponseLoss(nll=0.0, tokens=1)


@pytest.fixture(scope="module")
def questions():
    sources = (SourceConfig(name="embedded", format="embedded", rows=30),)
    data = prepare(DataConfig(sources=sources), SCENARIO, seed=5)
    rows = evaluation_rows(SCENARIO, data.dev, rows=6, seed=5)
    return Questions(
        scenario=SCENARIO, split="dev", rows=rows, generic=(), max_new_tokens=LIMIT, draws=50, interesting_difference=1.0, seed=5
    )


@pytest.fixture(scope="module")
def url():
    answerer = Answerer(engine=Blunderer(["best"]), tokenizer=CharacterTokenizer(), context_length=5000, score=nothing_lost)
    with running(make_app(LocalBackend(answerer), Front(model="embedded", adapters=("best",), scenario=SCENARIO))) as address:
        yield address


def harness_results(url, model, rows, folder):
    """What the harness measures, called as docs/harness.md says."""
    arguments = f"model={model},base_url={url}/v1/chat/completions,num_concurrent=4"
    command = ["--model", "local-chat-completions", "--model_args", arguments, "--include_path", "harness"]
    command += ["--tasks", "mixwright_writing", "--apply_chat_template", "--metadata", f"rows={rows}"]
    return lm_eval(*command, out=folder).results


@needs_lm_eval
@pytest.mark.parametrize(("system", "model"), [("base", "base"), ("best", "base:best")])
def test_the_harness_gives_the_numbers_of_our_own_evaluation(questions, url, tmp_path, system, model):
    rows = tmp_path / "rows.jsonl"
    write_jsonl(rows, exported_rows(questions))
    with EndpointClient(url) as client:
        ours = evaluate_systems(client, questions, [system], tmp_path)[-1]
    theirs = harness_results(url, model, rows, tmp_path / "harness")
    scores = {score.task: score for score in ours.scores}
    assert Counter(row.task for row in questions.rows) == {task: score.n for task, score in scores.items()}
    assert {task: theirs[f"mixwright_writing_{task}"][f"{score.metric},none"] for task, score in scores.items()} == {
        task: score.value for task, score in scores.items()
    }
    for kind in ("seen", "unseen"):
        mean = sum(scores[task].value for task in getattr(SCENARIO, kind)) / len(getattr(SCENARIO, kind))
        assert theirs[f"mixwright_writing_{kind}"]["score,none"] == pytest.approx(mean)
