"""What a trial's dev evaluation hangs on: the model it is handed and the way of decoding that its configuration names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from talkative import talkative

from mixwright.config import LoraConfig, SweepConfig
from mixwright.data.prepare import PreparedData
from mixwright.errors import ModelError
from mixwright.evaluate.runner import evaluation_rows, predict
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.models import COMPLETE, LoadedModel, with_adapter
from mixwright.records import GENERIC, Example
from mixwright.scenarios import Scenario
from mixwright.search.evaluator import DevEvaluator
from mixwright.train.resident import Assignment, Resident, Setup

SCENARIO = Scenario.model_validate(
    {
        "name": "shouting",
        "tasks": [{"name": "louder", "metric": "sari", "instructions": {"train": ["Say it loud."], "evaluation": ["Shout."]}}],
    }
)
DEV = {
    "louder": [Example(id=f"l:{i}", source="s", task="louder", text=f"word {i}", references=(f"WORD {i}",)) for i in range(4)],
    GENERIC: [Example(id="g", source="s", task=GENERIC, text="", instruction="What is 1 + 1?", references=("2",))],
}


@pytest.fixture(scope="module")
def model_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    loaded, folder = talkative(tiny_model), tmp_path_factory.mktemp("talkative")
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def base(model_folder: Path) -> LoadedModel:
    from mixwright.config import ModelConfig
    from mixwright.models import load_base

    return load_base(ModelConfig(name=str(model_folder)), torch.float32)


@pytest.fixture
def setup(model_folder: Path, base: LoadedModel, tmp_path: Path) -> Setup:
    """Of a sweep that asks an adapter, moved far enough to answer differently, as it is."""
    tuned = with_adapter(base.model, LoraConfig(rank=4, alpha=64), name="default", seed=0)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(0))
    tuned.save_pretrained(tmp_path / "best")
    (tmp_path / "best" / COMPLETE).touch()
    config = SweepConfig.model_validate(
        {
            "name": "x",
            "model": {"name": str(model_folder), "tuning": "none", "adapter": str(tmp_path / "best")},
            "evaluation": {"max_new_tokens": 8},
            "search": {"scheduler": {"rungs": [1.0]}},
        }
    )
    data = PreparedData(train={}, dev=DEV, test={}, report={})
    return Setup(
        config=config, scenario=SCENARIO, data=data, precision="fp32", run_dir=tmp_path / "run", make_evaluator=DevEvaluator
    )


@pytest.mark.parametrize("text", ["greedy", "num_beams=3", "temperature=0.9", "repetition_penalty=1.5"])
def test_a_trial_answers_with_its_own_decoding_and_limit(model_folder: Path, setup: Setup, text: str) -> None:
    fresh = talkative(model_folder)
    trial = setup.config.with_values({"evaluation.decoding": text, "evaluation.max_new_tokens": 5}).evaluation
    found = DevEvaluator(setup, fresh)._predictions(fresh.model, trial)
    rows = evaluation_rows(SCENARIO, DEV, rows=16, seed=0)
    engine = TransformersEngine(fresh.model, fresh.tokenizer)
    expected = predict(engine, fresh.tokenizer, rows, "trial", 5, decoding=trial.decoding, adapter="base")
    assert found == expected
    assert found[0].decoding == trial.decoding.record(5)
    if text != "greedy":
        assert [item.output for item in found] != [
            item.output for item in predict(engine, fresh.tokenizer, rows, "trial", 5, adapter="base")
        ]


def test_an_adapter_is_loaded_once_for_all_trials_and_leaves_the_base_as_it_was(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixwright import models

    loads = []
    load = models.with_saved_adapter
    monkeypatch.setattr(models, "with_saved_adapter", lambda *given, **named: loads.append(1) or load(*given, **named))
    resident = Resident(setup, "cpu")
    before = resident.evaluate_base()
    assert before.objectives.retention == 0.0
    first = resident.run(Assignment(trial_id="trial_0000", config=setup.config, rung=0))
    second = resident.run(
        Assignment(trial_id="trial_0001", config=setup.config.with_values({"evaluation.decoding": "num_beams=2"}), rung=0)
    )
    assert first.objectives.retention == second.objectives.retention != 0.0
    assert (first.step, first.train_loss, len(loads)) == (0, None, 1)
    assert resident.evaluate_base() == before
    again = resident.run(Assignment(trial_id="trial_0002", config=setup.config, rung=0))
    assert (again.objectives, len(loads)) == (first.objectives, 2)


def test_an_adapter_that_is_not_whole_ends_the_trial_with_its_cause(setup: Setup, tmp_path: Path) -> None:
    (tmp_path / "best" / COMPLETE).unlink()
    with pytest.raises(ModelError, match="is not complete; let the sweep that makes it end"):
        Resident(setup, "cpu").run(Assignment(trial_id="trial_0000", config=setup.config, rung=0))
