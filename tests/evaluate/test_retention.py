"""The response NLL must be that of each row alone, of response tokens alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mixwright.config import LoraConfig, ModelConfig
from mixwright.errors import ScoreError
from mixwright.evaluate.retention import LossDifference, example_losses, response_loss, response_nll
from mixwright.models import load_base, with_adapter
from mixwright.prompts import render
from mixwright.records import Example
from mixwright.testing import make_tiny_model

ROWS = [
    Example(id=f"g:{index}", source="g", task="generic", instruction=instruction, text=text, references=(answer,))
    for index, (instruction, text, answer) in enumerate(
        [
            ("Name a colour.", "", "Blue."),
            ("Count to five.", "", "One, two, three, four, five, and then no more."),
            ("Say it louder.", "i am here", "I AM HERE"),
        ]
    )
]


@pytest.fixture
def tiny(tmp_path):
    return load_base(ModelConfig(name=str(make_tiny_model(tmp_path))), torch.float32)


def one_by_one(model, tokenizer, rows=ROWS):
    """Sum over rows of the plain cross-entropy at response positions, divided by all response tokens."""
    total, tokens = 0.0, 0
    for row in rows:
        rendered = render(tokenizer, row.instruction, row.text, row.references[0])
        ids = torch.tensor([rendered.token_ids])
        with torch.no_grad():
            log_probabilities = model(input_ids=ids).logits[0].log_softmax(-1)
        for position in range(rendered.prompt_length, ids.shape[1]):
            total -= float(log_probabilities[position - 1, ids[0, position]])
            tokens += 1
    return total / tokens, tokens


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_batches_give_the_mean_over_tokens_of_rows_taken_alone(tiny, batch_size):
    nll, _ = one_by_one(tiny.model, tiny.tokenizer)
    assert response_nll(tiny.model, tiny.tokenizer, ROWS, batch_size) == pytest.approx(nll, abs=1e-5)


def test_the_prompt_is_read_but_does_not_count(tiny):
    row = ROWS[0]
    rendered = render(tiny.tokenizer, row.instruction, row.text, row.references[0])
    loss = response_loss(tiny.model, tiny.tokenizer, [rendered])
    assert loss.tokens == len("Blue.") + 1  # a byte a token, and the end token
    assert 0.0 < loss.nll < 2 * math.log(260)


def test_an_adapter_is_scored_by_name_and_as_the_active_one(tiny):
    base = response_nll(tiny.model, tiny.tokenizer, ROWS)
    model = with_adapter(tiny.model, LoraConfig(rank=2), name="trial", seed=0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1, generator=torch.Generator().manual_seed(len(name)))
    rendered = [render(tiny.tokenizer, row.instruction, row.text, row.references[0]) for row in ROWS]
    tuned = response_nll(model, tiny.tokenizer, ROWS)
    assert tuned == pytest.approx(one_by_one(model.eval(), tiny.tokenizer)[0], abs=1e-5)
    assert abs(tuned - base) > 1e-3
    assert response_loss(model, tiny.tokenizer, rendered, adapter="trial").nll == pytest.approx(tuned, abs=1e-5)
    assert response_loss(model, tiny.tokenizer, rendered, adapter="base").nll == pytest.approx(base, abs=1e-5)
    with model.disable_adapter():
        assert response_nll(model, tiny.tokenizer, ROWS) == pytest.approx(base, abs=1e-5)


def test_a_model_in_training_stays_in_training_and_gets_no_gradient(tiny):
    tiny.model.train()
    response_nll(tiny.model, tiny.tokenizer, ROWS)
    assert tiny.model.training
    assert all(parameter.grad is None for parameter in tiny.model.parameters())


def test_no_rows_are_refused(tiny):
    with pytest.raises(ScoreError, match="at least one row"):
        response_nll(tiny.model, tiny.tokenizer, [])


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_losses_stand_in_the_order_of_their_rows_whatever_the_batches(tiny, batch_size):
    losses = example_losses(tiny.model, tiny.tokenizer, ROWS, batch_size)
    for row, (nll, tokens) in zip(ROWS, losses, strict=True):
        mean, count = one_by_one(tiny.model, tiny.tokenizer, [row])
        assert tokens == count
        assert nll / tokens == pytest.approx(mean, abs=1e-5)


def test_the_gain_in_nats_weighs_tokens():
    gains = np.array([[3.0, 10.0], [-1.0, 30.0]])
    assert LossDifference().from_totals(gains.sum(axis=0)) == pytest.approx(2.0 / 40)
