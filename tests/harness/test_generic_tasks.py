"""The harness's own kind of task, a choice by likelihood: the same over our endpoint as with the model in the harness's hands."""

from __future__ import annotations

import json

import pytest
import torch
from serve.engine import Answerer
from serve.front import Front, LocalBackend, make_app
from tests.harness.lm_eval_run import lm_eval, needs_lm_eval
from tests.serve.running import running

from mixwright.config import ModelConfig
from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.likelihoods import likelihoods
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.models import load_base
from mixwright.scenarios import load_scenario

TASK = """
task: made_up_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: choices
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture
def tasks(tmp_path):
    """A folder with one multiple-choice task."""
    words = ("red", "green", "blue", "grey")
    rows = [{"question": f"Thing {number} is", "choices": list(words[: 2 + number % 3]), "answer": 0} for number in range(12)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "choice.yaml").write_text(TASK.format(rows=tmp_path / "rows.jsonl"))
    return tmp_path


@pytest.fixture
def url(tiny_model):
    base = load_base(ModelConfig(name=str(tiny_model)), torch.float32)
    pad_id = base.tokenizer.pad_token_id
    answerer = Answerer(
        engine=TransformersEngine(base.model, base.tokenizer),
        tokenizer=base.tokenizer,
        context_length=1024,
        score=lambda rows, adapter: ResponseLoss(nll=0.0, tokens=1),
        likelihoods=lambda prompts, adapter, top: likelihoods(base.model, prompts, pad_id=pad_id, top=top, adapter=adapter),
    )
    front = Front(model="tiny", adapters=(), scenario=load_scenario("writing"))
    with running(make_app(LocalBackend(answerer), front)) as address:
        yield address


def answers(run):
    """Question -> log-likelihood of each choice and whether it is what the model would have said."""
    return {sample["doc"]["question"]: sample["filtered_resps"] for sample in run.samples}


@needs_lm_eval
def test_a_choice_by_likelihood_is_the_same_over_http(tasks, url, tiny_model, tmp_path):
    common = ["--include_path", str(tasks), "--tasks", "made_up_choice", "--log_samples"]
    ours = f"model=base,base_url={url}/v1/completions,tokenizer={tiny_model},num_concurrent=2"
    over_http = lm_eval("--model", "local-completions", "--model_args", ours, *common, out=tmp_path / "http")
    in_hand = lm_eval(
        "--model", "hf", "--model_args", f"pretrained={tiny_model},dtype=float32", "--device", "cpu", *common, out=tmp_path / "hf"
    )
    assert over_http.results["made_up_choice"]["acc,none"] == in_hand.results["made_up_choice"]["acc,none"]
    assert list(answers(over_http)) == list(answers(in_hand))
    for question, told in answers(in_hand).items():
        for (wanted, greedy), (found, found_greedy) in zip(told, answers(over_http)[question], strict=True):
            assert float(found) == pytest.approx(float(wanted), abs=1e-3)
            assert str(found_greedy) == str(greedy)
