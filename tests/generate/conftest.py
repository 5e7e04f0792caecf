"""The talkative tiny model, plain and with two adapters."""

from __future__ import annotations

import pytest
import torch
from talkative import NAMES, talkative

from mixwright.config import LoraConfig
from mixwright.models import LoadedModel, with_adapter
from mixwright.testing import make_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny(folder) -> LoadedModel:
    return talkative(folder)


@pytest.fixture
def tuned(tiny):
    """The tiny model with two adapters that move it far enough to answer differently."""
    model = tiny.model
    for seed, name in enumerate(NAMES[1:]):
        model = with_adapter(model, LoraConfig(rank=4, alpha=64), name=name, seed=seed)
        torch.manual_seed(seed)
        for key, parameter in model.named_parameters():
            if f"lora_B.{name}." in key:
                parameter.data.normal_(std=0.2)
    return model.eval()
