"""How a sweep starts: its rows are tokenised once, and neither a second start nor a worker does it again."""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path

import pytest
from tests.cluster.small_space import write_space
from tests.data.counted_tokenizer import Counted

from mixwright import models
from mixwright.config import SweepConfig, load_config
from mixwright.records import GENERIC
from mixwright.scenarios import load_scenario
from mixwright.search import plan
from mixwright.train.resident import Resident, Setup

JOB = Path(__file__).parents[2] / "jobs" / "sweep.py"
BUDGET = {"size": 2000, "budget": "tokens"}


@pytest.fixture
def config(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepConfig:
    monkeypatch.setenv("MIXWRIGHT_CACHE", str(tmp_path / "cache"))
    return load_config(write_space(tmp_path, tiny_model, mixture=BUDGET))


@pytest.fixture
def tokenizers(monkeypatch: pytest.MonkeyPatch) -> list[Counted]:
    """Every tokenizer that is loaded from now on."""
    loaded: list[Counted] = []
    load = models.load_tokenizer
    monkeypatch.setattr(models, "load_tokenizer", lambda config: loaded.append(Counted(load(config))) or loaded[-1])
    return loaded


def read_data(config: SweepConfig):
    """What the job itself calls."""
    spec = importlib.util.spec_from_file_location("sweep", JOB)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.read_data(config, scenario(config), models.load_tokenizer(config.model))


def no_evaluator(setup: Setup, base: models.LoadedModel) -> None:
    """In the place of one that a worker would make; nothing is evaluated here."""


def scenario(config: SweepConfig):
    return load_scenario(config.scenario).with_unseen(config.unseen)


def test_a_second_start_and_the_workers_tokenise_nothing(config, tokenizers, tmp_path) -> None:
    first, second = read_data(config), read_data(config)
    assert [tokenizer.calls > 0 for tokenizer in tokenizers] == [True, False]
    assert second.tokens.table.equals(first.tokens.table)

    setup = Setup(
        config=config,
        scenario=scenario(config),
        data=second.for_workers(),
        precision="fp32",
        run_dir=tmp_path,
        make_evaluator=no_evaluator,
    )
    resident = Resident(pickle.loads(pickle.dumps(setup)), "cpu")
    mixture = resident.mixture(config.with_values({"mixture.generic_fraction": 0.25}))
    rows = [resident.tokens.rendered(row) for row in mixture.rows]
    assert [tokenizer.calls for tokenizer in tokenizers[2:]] == [0]  # of the resident
    assert 1850 < sum(len(row.token_ids) for row in rows) <= 2000
    texts = [resident.base.tokenizer.decode(list(row.token_ids)) for row in rows]
    assert sum("+ 1?" in text for text in texts) == mixture.counts[GENERIC] == pytest.approx(len(rows) / 4, abs=1)


def test_a_plan_after_a_start_takes_its_tokens_from_the_same_table(config, tokenizers) -> None:
    cold = plan.make(config, scenario(config))
    again = plan.make(config, scenario(config))
    read_data(config)
    assert [tokenizer.calls > 0 for tokenizer in tokenizers] == [True, False, False]
    assert again.tokens == cold.tokens
    assert 1850 < cold.tokens[0] <= cold.tokens[1] <= 2000
