"""The interface against its own OpenAPI document: requests made up from it, whole and broken, and what comes back."""

from __future__ import annotations

import httpx
import pytest
import schemathesis
import torch
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from serve.adapters import AdapterStore
from serve.engine import Answerer
from serve.evaluations.evaluator import Evaluator
from serve.evaluations.folder import Store
from serve.evaluations.plan import Planner
from serve.front import Front, LocalBackend, make_app
from tests.serve.running import running

from mixwright.config import DataConfig, EvaluationConfig, ModelConfig, SourceConfig, SweepConfig
from mixwright.evaluate.retention import response_loss
from mixwright.generate.continuous import ContinuousEngine
from mixwright.generate.likelihoods import likelihoods
from mixwright.models import load_base
from mixwright.scenarios import load_scenario
from mixwright.settings import dump_yaml

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
CONFIG = SweepConfig(
    name="small",
    data=DataConfig(sources=(SourceConfig(name="embedded", format="embedded", rows=40),)),
    evaluation=EvaluationConfig(bootstrap_draws=100),
)
CONTEXT = 256
"""Short, so that what is made up is either quick to answer or refused."""


@pytest.fixture(scope="module")
def url(tiny_model, tmp_path_factory):
    """A running endpoint with every part but Ray; its evaluations stay in the queue."""
    base = load_base(ModelConfig(name=str(tiny_model)), torch.float32)
    engine = ContinuousEngine(base.model, base.tokenizer)

    def score(rows, adapter):
        return response_loss(engine.model, base.tokenizer, rows, adapter=adapter)

    def scores(prompts, adapter, top):
        return likelihoods(engine.model, prompts, pad_id=base.tokenizer.pad_token_id, top=top, adapter=adapter)

    answerer = Answerer(engine=engine, tokenizer=base.tokenizer, context_length=CONTEXT, score=score, likelihoods=scores)
    run_dir, scenario = tmp_path_factory.mktemp("run"), load_scenario("writing")
    (run_dir / "config.yaml").write_text(dump_yaml(CONFIG), encoding="utf-8")
    backend = LocalBackend(answerer)
    planner = Planner(CONFIG, scenario, {"model": "tiny"}, AdapterStore(None))
    evaluator = Evaluator(Store(run_dir / "evaluations"), planner, scenario, backend, concurrency=1)
    front = Front(model="tiny", adapters=(), scenario=scenario, run_dir=str(run_dir))
    with running(make_app(backend, front, evaluations=evaluator)) as address:
        yield address


schema = schemathesis.openapi.from_dict(make_app(None, Front(model="", adapters=(), scenario=load_scenario("writing"))).openapi())
BOUNDED = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


SERVED = {"model": "base", "adapter": "base", "task": "fluency", "adapters": ["base"], "tasks": ["fluency"]}
"""Names that the document cannot know; what is made up is stopped at them."""
SHORT = {"/v1/rewrite": "max_new_tokens", "/v1/chat/completions": "max_tokens", "/v1/completions": "max_tokens"}
"""What keeps an answer short."""


def check(case, url):
    """The request as it was made up; where a name stopped it, once more with one that is served, which leads on to the model."""

    def ask():
        return case.call_and_validate(base_url=url, checks=CHECKS, timeout=60)

    if ask().status_code != 404:
        return
    if isinstance(case.body, dict):
        case.body = {key: SERVED.get(key, value) for key, value in case.body.items()}
        if case.path in SHORT and "max_completion_tokens" not in case.body:
            case.body[SHORT[case.path]] = 3
        ask()
    elif "evaluation_id" in case.path_parameters:
        asked = httpx.post(f"{url}/v1/evaluations", json={"adapters": ["base"], "tasks": ["fluency"], "limit": 1}, timeout=60)
        case.path_parameters["evaluation_id"] = asked.json()["id"]
        ask()


@schema.parametrize()
@settings(max_examples=6, derandomize=True, **BOUNDED)
def test_every_answer_is_as_the_document_says_and_none_is_a_fault(case, url):
    check(case, url)


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=200, **BOUNDED)
def test_every_answer_is_as_the_document_says_for_many_more_requests(case, url):
    check(case, url)
